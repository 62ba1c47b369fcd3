/**
 * What the parts of the WebGPU backend share: the device with its limits, the
 * record of how it failed, and the account of its memory. Opening an adapter is
 * in `webgpu.ts`, reading and writing in `webgpu_buffer.ts`, plans in
 * `webgpu_program.ts`.
 */

import type { Target } from "../../../kernels/wgsl/kernel.ts";
import type { BufferSpec } from "../../graph/plan.ts";
import { DeviceLostError, OutOfMemoryError } from "../backend.ts";

/**
 * Milliseconds that the news of a lost device may take: work on it fails first, as an `OperationError` or
 * an `AbortError`, and `device.lost` settles after that.
 */
const LOSS_MS = 1000;

/** Bytes of a buffer of `length` 32-bit words: WebGPU binds nothing empty. */
export function sizeOf(length: number): number {
  return 4 * Math.max(1, length);
}

/** An open device and its state. */
export class WebGpuContext {
  readonly device: GPUDevice;
  readonly target: Target;
  /** Whether programs record GPU timestamps. */
  readonly profile: boolean;
  #allocatedBytes = 0;
  readonly #buffers = new Set<GPUBuffer>();
  readonly #pending = new Set<Promise<unknown>>();
  #lost: string | undefined;
  #error: Error | undefined;
  #closing: Promise<void> | undefined;

  constructor(device: GPUDevice, target: Target, profile: boolean) {
    this.device = device;
    this.target = target;
    this.profile = profile;
    device.lost.then(({ reason, message }) => {
      this.#lost ??= `the WebGPU device was lost (${reason}): ${message}`;
    });
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      const { error } = event as GPUUncapturedErrorEvent;
      this.#error ??= new Error(`Cannot go on with WebGPU: ${error.message}`);
    });
  }

  /** Bytes in buffers that exist at present. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /**
   * Refuses work on a device that is gone. WebGPU itself ignores such calls in silence.
   *
   * @param action what was asked for, e.g. `run train`
   */
  checkOpen(action: string): void {
    if (this.#closing) {
      throw new DeviceLostError(`Cannot ${action}: the backend was disposed`);
    }
    this.#checkAlive(action);
  }

  /**
   * Awaits work on the device, and refuses results that are not to be trusted: the device is gone,
   * or WebGPU reported an error outside every error scope.
   *
   * @throws {DeviceLostError} in place of any other error if the device is gone
   */
  async settle<T>(action: string, work: Promise<T>): Promise<T> {
    let result: T;
    try {
      result = await work;
    } catch (error) {
      return await this.#fail(action, error);
    }
    this.#checkAlive(action);
    if (this.#error) await this.#fail(action, this.#error);
    return result;
  }

  /** Throws what is behind an error: a loss of the device, else the first error that WebGPU reported, else the error itself. */
  async #fail(action: string, error: unknown): Promise<never> {
    await this.#newsOfLoss();
    this.#checkAlive(action);
    throw this.#error ?? error;
  }

  /** Resolves when the device is known to be lost, or seems not to be. */
  async #newsOfLoss(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LOSS_MS);
    await Promise.race([this.device.lost, late]);
    clearTimeout(timer);
  }

  #checkAlive(action: string): void {
    if (this.#lost === undefined) return;
    throw new DeviceLostError(`Cannot ${action}: ${this.#lost}`);
  }

  /**
   * Refuses buffers that the adapter cannot hold.
   *
   * @throws {RangeError} if one is longer than the adapter allows
   */
  checkSize({ name, length }: Pick<BufferSpec, "name" | "length">): void {
    const { maxBufferSize } = this.device.limits;
    if (length * 4 <= maxBufferSize) return;
    throw new RangeError(
      `Cannot allocate ${name}: ${
        length * 4
      } bytes are more than the ${maxBufferSize} that this adapter allows in one buffer`,
    );
  }

  /** A buffer full of zeros, of `length` 32-bit words, one at least. */
  createBuffer(
    label: string,
    length: number,
    usage: GPUBufferUsageFlags,
  ): GPUBuffer {
    const size = sizeOf(length);
    const buffer = this.device.createBuffer({ label, size, usage });
    this.#buffers.add(buffer);
    this.#allocatedBytes += size;
    return buffer;
  }

  /** Frees a buffer. Twice is once. */
  destroyBuffer(buffer: GPUBuffer): void {
    if (!this.#buffers.delete(buffer)) return;
    this.#allocatedBytes -= buffer.size;
    buffer.destroy();
  }

  /**
   * Makes what `work` makes on the device.
   *
   * @param action what was asked for, e.g. `compile train`
   * @param needed bytes that it takes
   * @returns its result, and why WebGPU refuses it, if it does: an {@linkcode OutOfMemoryError} where memory is what lacks
   */
  watch<T>(action: string, needed: number, work: () => T): {
    readonly result: T;
    readonly refusal: Promise<Error | undefined>;
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
    const refusal = Promise.all(scopes).then(async ([memory, validation]) => {
      if (memory ?? validation) await this.#newsOfLoss();
      if (memory) {
        return new OutOfMemoryError(action, { needed, room: undefined });
      }
      return validation
        ? new Error(`Cannot ${action}: ${validation.message}`)
        : undefined;
    });
    return { result, refusal };
  }

  /** Keeps the device open until `work` has settled. */
  async hold<T>(work: Promise<T>): Promise<T> {
    this.#pending.add(work);
    try {
      return await work;
    } finally {
      this.#pending.delete(work);
    }
  }

  /** Lets reads in flight finish, then frees everything. Twice is once. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#pending);
    for (const buffer of [...this.#buffers]) this.destroyBuffer(buffer);
    this.device.destroy();
  }
}
