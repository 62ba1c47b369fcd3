/**
 * Device memory of the WebGPU backend as the host sees it: writes through the
 * queue, reads through a pool of staging buffers.
 */

import type { BufferSpec } from "../../graph/plan.ts";
import type { CopiedRange, Numbers } from "../backend.ts";
import { BoundBuffer } from "../buffer.ts";
import type { WebGpuDevice } from "./device.ts";

/** Staging buffers longer than this many bytes are destroyed after use: checkpoints, which need them, are rare, while losses are read often. */
const LARGEST_KEPT = 1 << 20;

/**
 * Buffers that the host can map, kept for reuse. A read takes one for itself
 * until its numbers are copied out, so reads may overlap.
 */
export class StagingPool {
  readonly #backend: WebGpuDevice;
  readonly #free: GPUBuffer[] = [];

  constructor(backend: WebGpuDevice) {
    this.#backend = backend;
  }

  /** Returns a copy of `size` bytes from `offset` on, as they are after all work submitted so far. */
  async read(
    action: string,
    source: GPUBuffer,
    offset: number,
    size: number,
  ): Promise<ArrayBuffer> {
    const { device } = this.#backend;
    const { result: { staging, mapped }, failure } = this.#backend.watch(
      action,
      size,
      () => {
        const staging = this.#take(size);
        const encoder = device.createCommandEncoder();
        encoder.copyBufferToBuffer(source, offset, staging, 0, size);
        device.queue.submit([encoder.finish()]);
        const mapped = staging.mapAsync(GPUMapMode.READ, 0, size);
        return { staging, mapped };
      },
    );
    try {
      await mapped;
      const bytes = staging.getMappedRange(0, size).slice(0);
      staging.unmap();
      this.#give(staging);
      return bytes;
    } catch (error) {
      this.#backend.destroyBuffer(staging);
      throw await failure ?? error;
    }
  }

  /** Takes the smallest free buffer that holds `size` bytes, or creates one; a buffer that will be kept has a power of two of bytes. */
  #take(size: number): GPUBuffer {
    const fitting = this.#free.filter((buffer) => buffer.size >= size);
    if (fitting.length > 0) {
      const best = fitting.reduce((a, b) => a.size <= b.size ? a : b);
      this.#free.splice(this.#free.indexOf(best), 1);
      return best;
    }
    const kept = size <= LARGEST_KEPT;
    const bytes = kept ? 2 ** Math.ceil(Math.log2(Math.max(size, 256))) : size;
    return this.#backend.createBuffer(
      "staging",
      bytes / 4,
      GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    );
  }

  #give(buffer: GPUBuffer): void {
    if (buffer.size <= LARGEST_KEPT) this.#free.push(buffer);
    else this.#backend.destroyBuffer(buffer);
  }
}

/** A buffer on a GPU. */
export class WebGpuBuffer extends BoundBuffer<WebGpuDevice> {
  readonly gpu: GPUBuffer;

  /** Allocates `spec.length` zeros. */
  constructor(spec: BufferSpec, backend: WebGpuDevice) {
    super(spec, backend);
    this.gpu = backend.createBuffer(
      spec.name,
      spec.length,
      GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC |
        GPUBufferUsage.COPY_DST,
    );
  }

  protected set(data: ArrayLike<number>, offset: number): void {
    if (data.length === 0) return;
    const { queue } = this.backend.device;
    queue.writeBuffer(this.gpu, 4 * offset, words(data, this.spec.dtype));
  }

  protected async get(offset: number, length: number): Promise<Numbers> {
    const { name, dtype } = this.spec;
    if (length === 0) return words([], dtype);
    const bytes = await this.backend.read(
      `read ${name}`,
      this.gpu,
      4 * offset,
      4 * length,
    );
    return dtype === "f32" ? new Float32Array(bytes) : new Int32Array(bytes);
  }

  protected override transfer(
    source: WebGpuBuffer,
    { from, to, length }: CopiedRange,
  ): void {
    const { device } = this.backend;
    const encoder = device.createCommandEncoder();
    const [target, size] = [this.gpu, 4 * length];
    encoder.copyBufferToBuffer(source.gpu, 4 * from, target, 4 * to, size);
    device.queue.submit([encoder.finish()]);
  }

  protected free(): void {
    this.backend.destroyBuffer(this.gpu);
  }
}

/** Returns `data` as 32-bit words of `dtype`: itself where it has that type, else a copy. */
function words(
  data: ArrayLike<number>,
  dtype: BufferSpec["dtype"],
): Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> {
  // An array over shared memory is copied, too: WebGPU does not accept one.
  const asIs = data as Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
  const exact = dtype === "f32" ? Float32Array : Int32Array;
  if (data instanceof exact && asIs.buffer instanceof ArrayBuffer) return asIs;
  return exact.from(data);
}
