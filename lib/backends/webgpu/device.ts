/** A WebGPU device: its limits, its allocations, and the errors that it reports. */

import {
  extensions,
  type Feature,
  MATRICES,
  type Target,
} from "../../../kernels/wgsl/kernel.ts";
import type { BufferSpec } from "../../graph/plan.ts";
import { refusal } from "../../refusal.ts";
import { OutOfMemoryError } from "../backend.ts";
import { OpenBackend } from "../program.ts";
import { matricesOf } from "./matrices.ts";
import { PipelineCache } from "./pipelines.ts";

/** Returns the bytes of a buffer of `length` 32-bit words, at least 4: WebGPU cannot bind an empty buffer. */
export function sizeOf(length: number): number {
  return 4 * Math.max(1, length);
}

/** The optional features that kernels use. */
const optional = Object.keys(extensions) as Feature[];

/** Returns those features of an adapter or device that kernels use. */
export function featuresOf(
  { features }: GPUAdapter | GPUDevice,
): (Feature & GPUFeatureName)[] {
  // The types of WebGPU do not have the names of experiments.
  return (optional as (Feature & GPUFeatureName)[])
    .filter((feature) => features.has(feature));
}

/** Returns the target of kernels for a device. */
export function targetOf(
  device: GPUDevice,
  choice: Pick<Target, "tiling" | "products">,
): Target {
  const { limits } = device;
  const features: Feature[] = featuresOf(device);
  return {
    ...choice,
    features,
    matrices: features.includes(MATRICES)
      ? matricesOf(device.adapterInfo)
      : undefined,
    workgroupStorage: limits.maxComputeWorkgroupStorageSize,
    invocations: limits.maxComputeInvocationsPerWorkgroup,
    workgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    bindingSize: limits.maxStorageBufferBindingSize,
  };
}

/**
 * Milliseconds to wait for the report of a lost device: work on the device fails first, with an `OperationError`
 * or an `AbortError`, and `device.lost` settles after that.
 */
const LOSS_MS = 1000;

/** The part of the backend that its buffers and programs use: the device, the errors that it reported, and the sum of its allocations. */
export abstract class WebGpuDevice extends OpenBackend {
  readonly kind = "webgpu";
  override readonly halves: boolean;
  readonly description: string;
  /** Name of the adapter. */
  readonly name: string;
  /** True if the adapter is software. */
  readonly software: boolean;
  /** The device itself, for callers that use the buffers in their own WebGPU work. */
  readonly device: GPUDevice;
  readonly target: Target;
  /** True if programs record GPU timestamps. */
  readonly profile: boolean;
  readonly pipelines: PipelineCache;
  /** Undefined: WebGPU does not report free memory. */
  readonly room = undefined;
  allocatedBytes = 0;
  protected lost: string | undefined;
  #error: Error | undefined;
  readonly #buffers = new Set<GPUBuffer>();
  readonly #pending = new Set<Promise<unknown>>();

  constructor(device: GPUDevice, { name, software, profile, target }: {
    readonly name: string;
    readonly software: boolean;
    readonly profile: boolean;
    readonly target: Target;
  }) {
    super();
    this.description = software ? `${name} (software)` : name;
    this.name = name;
    this.software = software;
    this.device = device;
    this.target = target;
    this.halves = target.features.includes("shader-f16");
    this.profile = profile;
    this.pipelines = new PipelineCache(device);
    device.lost.then(({ reason, message }) => {
      this.lost ??= `the WebGPU device was lost (${reason}): ${message}`;
    });
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      const { error } = event as GPUUncapturedErrorEvent;
      this.#error ??= refusal(Error, "go on with WebGPU", error.message);
    });
  }

  bytesOf({ length }: BufferSpec): number {
    return sizeOf(length);
  }

  /** Returns a copy of `size` bytes of a buffer from `offset` on, as they are after all work submitted so far. */
  abstract read(
    action: string,
    source: GPUBuffer,
    offset: number,
    size: number,
  ): Promise<ArrayBuffer>;

  override async finish(): Promise<void> {
    this.checkOpen("finish");
    await this.settle("finish", this.device.queue.onSubmittedWorkDone());
  }

  /**
   * Awaits work on the device, which stays open until the work settles. Throws instead of returning a result that may be wrong,
   * because the device is lost or WebGPU reported an error outside every error scope.
   *
   * @throws {DeviceLostError} in place of any other error if the device is gone
   */
  async settle<T>(action: string, work: Promise<T>): Promise<T> {
    this.#pending.add(work);
    let result: T;
    try {
      result = await work;
    } catch (error) {
      return await this.#fail(action, error);
    } finally {
      this.#pending.delete(work);
    }
    this.checkAlive(action);
    if (this.#error) await this.#fail(action, this.#error);
    return result;
  }

  /** Throws the cause of an error: the loss of the device, else the first error that WebGPU reported, else the error itself, as a refusal if it is WebGPU's. */
  async #fail(action: string, error: unknown): Promise<never> {
    await this.#newsOfLoss();
    this.checkAlive(action);
    if (this.#error) throw this.#error;
    throw error instanceof DOMException
      ? refusal(Error, action, error.message, { cause: error })
      : error;
  }

  /** Resolves when the device reports its loss, or after {@linkcode LOSS_MS} without a report. */
  async #newsOfLoss(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LOSS_MS);
    await Promise.race([this.device.lost, late]);
    clearTimeout(timer);
  }

  /**
   * Checks that the adapter can hold a buffer.
   *
   * @throws {RangeError} if the buffer is longer than the adapter allows
   */
  checkSize({ name, length }: Pick<BufferSpec, "name" | "length">): void {
    const { maxBufferSize } = this.device.limits;
    if (length * 4 <= maxBufferSize) return;
    throw refusal(
      RangeError,
      `allocate ${name}`,
      `${
        length * 4
      } bytes are more than the ${maxBufferSize} that this adapter allows in one buffer`,
    );
  }

  /** Creates a buffer of `length` 32-bit words, at least one, filled with zeros. */
  createBuffer(
    label: string,
    length: number,
    usage: GPUBufferUsageFlags,
  ): GPUBuffer {
    const size = sizeOf(length);
    const buffer = this.device.createBuffer({ label, size, usage });
    this.#buffers.add(buffer);
    this.allocatedBytes += size;
    return buffer;
  }

  /** Frees a buffer. Does nothing if the buffer was freed already. */
  destroyBuffer(buffer: GPUBuffer): void {
    if (!this.#buffers.delete(buffer)) return;
    this.allocatedBytes -= buffer.size;
    buffer.destroy();
  }

  /**
   * Calls `work`, which allocates on the device, and watches for errors of WebGPU.
   *
   * @param action the requested operation, e.g. `compile train`
   * @param needed bytes that the operation needs
   * @returns the result of `work`, and the error with which WebGPU refuses it, if it does: an {@linkcode OutOfMemoryError} if memory is lacking
   */
  watch<T>(action: string, needed: number, work: () => T): {
    readonly result: T;
    readonly failure: Promise<Error | undefined>;
  } {
    const { device } = this;
    device.pushErrorScope("validation");
    device.pushErrorScope("out-of-memory");
    let result: T;
    let scopes: Promise<GPUError | null>[];
    try {
      result = work();
    } finally {
      scopes = [device.popErrorScope(), device.popErrorScope()];
    }
    const failure = Promise.all(scopes).then(async ([memory, validation]) => {
      if (memory ?? validation) await this.#newsOfLoss();
      if (memory) {
        return new OutOfMemoryError(action, { needed, room: undefined });
      }
      return validation
        ? refusal(Error, action, validation.message)
        : undefined;
    });
    return { result, failure };
  }

  /** Lets work in flight settle, then frees everything. */
  protected async close(): Promise<void> {
    await Promise.allSettled(this.#pending);
    for (const buffer of [...this.#buffers]) this.destroyBuffer(buffer);
    this.device.destroy();
  }
}
