/**
 * The WebGPU backend: opens an adapter through the global `navigator.gpu`, in
 * Deno and in browsers alike, and executes plans on it. The kernels are in
 * `kernels/wgsl/`.
 */

import type { Target } from "../../../kernels/wgsl/kernel.ts";
import type { BufferSpec, Plan } from "../../graph/plan.ts";
import {
  type DeviceBuffer,
  NoAdapterError,
  OutOfMemoryError,
  type Stores,
} from "../backend.ts";
import { OpenBackend } from "../program.ts";
import { sizeOf, StagingPool, WebGpuBuffer } from "./buffer.ts";
import { PipelineCache } from "./pipelines.ts";
import { compileProgram, measurePlans, type WebGpuProgram } from "./program.ts";
import { refusal } from "../../refusal.ts";

/** Options of {@linkcode openWebGpu}. */
export interface WebGpuOptions {
  /**
   * The kind of adapter: `hardware` (the default) refuses software adapters, `any` accepts them.
   */
  readonly adapter?: "hardware" | "any" | undefined;
  /** The GPU to prefer on a machine with several; by default `high-performance`. */
  readonly powerPreference?: "low-power" | "high-performance" | undefined;
  /** The family of kernels; by default the one that suits the adapter. */
  readonly tiling?: Target["tiling"] | undefined;
  /** True to time the dispatches of programs (see {@linkcode WebGpuProgram.profile}), which makes them slower. */
  readonly profile?: boolean | undefined;
}

/** Limits to request at the adapter's maximum; without a request, a device gets WebGPU's lower defaults. */
const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
] as const;

/**
 * Opens a WebGPU device.
 *
 * @throws {NoAdapterError} if there is no such adapter
 * @throws {TypeError} if `profile` is true and the adapter has no timestamps
 *
 * @example
 * ```ts
 * try {
 *   await using backend = await openWebGpu();
 *   console.log(backend.description);
 * } catch (error) {
 *   console.log((error as Error).message); // on a machine without a GPU
 * }
 * ```
 */
export async function openWebGpu(
  options: WebGpuOptions = {},
): Promise<WebGpuBackend> {
  const { adapter: wanted = "hardware", profile = false } = options;
  const adapter = await requestAdapter(options);
  const software = adapter.info.isFallbackAdapter === true;
  const name = describe(adapter.info);
  if (software && wanted === "hardware") {
    throw new NoAdapterError(
      "open a GPU",
      `the only WebGPU adapter is ${name}, which is software`,
      () => 'Open it with adapter "any" to run on the software adapter.',
    );
  }
  if (profile && !adapter.features.has("timestamp-query")) {
    throw refusal(TypeError, "profile", `${name} has no timestamp-query`);
  }
  const device = await adapter.requestDevice({
    requiredLimits: Object.fromEntries(
      WANTED_LIMITS.map((name) => [name, adapter.limits[name]]),
    ),
    requiredFeatures: profile ? ["timestamp-query"] : [],
  }).catch((error: Error) => {
    // A driver that has just failed may still offer its adapter.
    throw new NoAdapterError(
      `open ${name}`,
      error.message,
      (device) => `${device("wasm")} computes on the CPU.`,
    );
  });
  const tiling = options.tiling ?? (software ? "register" : "workgroup");
  return new WebGpuBackend(device, { name, software, tiling, profile });
}

async function requestAdapter(
  { adapter: wanted, powerPreference = "high-performance" }: WebGpuOptions,
): Promise<GPUAdapter> {
  // Absent in runtimes without WebGPU, whatever the types say.
  const gpu = globalThis.navigator?.gpu as GPU | undefined;
  if (!gpu) {
    throw new NoAdapterError(
      "open WebGPU",
      "this runtime has none",
      (device) =>
        `Deno 2.9 and current browsers have it; ${
          device("wasm")
        } computes on the CPU.`,
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference }) ??
    (wanted === "any"
      ? await gpu.requestAdapter({ forceFallbackAdapter: true })
      : null);
  if (adapter) return adapter;
  throw new NoAdapterError(
    "open WebGPU",
    "there is no adapter",
    (device) =>
      `Install a graphics driver with Vulkan; ${
        device("wasm")
      } computes on the CPU.`,
  );
}

/** Returns a description of the adapter for people; browsers leave most fields empty. */
function describe(info: GPUAdapterInfo): string {
  const { description, vendor, architecture, device } = info;
  return description ||
    [vendor, architecture, device].filter(Boolean).join(" ") ||
    "an unnamed adapter";
}

function target({ limits }: GPUDevice, tiling: Target["tiling"]): Target {
  return {
    tiling,
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

/** An executor on a GPU: its device, the errors that the device reported, and the sum of its allocations. */
export class WebGpuBackend extends OpenBackend {
  readonly kind = "webgpu";
  readonly description: string;
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
  readonly #staging: StagingPool = new StagingPool(this);

  constructor(device: GPUDevice, { name, software, tiling, profile }: {
    readonly name: string;
    readonly software: boolean;
    readonly tiling: Target["tiling"];
    readonly profile: boolean;
  }) {
    super();
    this.description = software ? `${name} (software)` : name;
    this.software = software;
    this.device = device;
    this.target = target(device, tiling);
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

  allocate(spec: BufferSpec): WebGpuBuffer {
    return new WebGpuBuffer(spec, this);
  }

  bytesOf({ length }: BufferSpec): number {
    return sizeOf(length);
  }

  override async createStore(spec: BufferSpec): Promise<DeviceBuffer> {
    const action = `allocate ${spec.name}`;
    this.checkOpen(action);
    this.checkSize(spec);
    const { result: store, failure } = this.watch(
      action,
      this.bytesOf(spec),
      () => this.allocate(spec),
    );
    const refused = await this.settle(action, failure);
    if (refused === undefined) return store;
    store.destroy();
    throw refused;
  }

  measure(plans: readonly Plan[], stores?: Stores): number {
    return measurePlans(plans, stores, this);
  }

  compile(plan: Plan, stores: Stores): Promise<WebGpuProgram> {
    return compileProgram(plan, stores, this);
  }

  override async finish(): Promise<void> {
    this.checkOpen("finish");
    await this.settle("finish", this.device.queue.onSubmittedWorkDone());
  }

  /** Returns a copy of `size` bytes of a buffer from `offset` on, as they are after all work submitted so far. */
  async read(
    action: string,
    source: GPUBuffer,
    offset: number,
    size: number,
  ): Promise<ArrayBuffer> {
    return await this.settle(
      action,
      this.#staging.read(action, source, offset, size),
    );
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

  /** Throws the cause of an error: the loss of the device, else the first error that WebGPU reported, else the error itself. */
  async #fail(action: string, error: unknown): Promise<never> {
    await this.#newsOfLoss();
    this.checkAlive(action);
    throw this.#error ?? error;
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
