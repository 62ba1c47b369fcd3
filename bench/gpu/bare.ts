/** A WebGPU device without the engine, to time single kernels' texts on it. */

import type { Lowering, Target } from "../../kernels/wgsl/kernel.ts";
import { featuresOf, targetOf } from "../../lib/backends/webgpu/device.ts";
import { median } from "../../tools/soak/trend.ts";

/** Passes ready to run. */
export type Bound = readonly {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}[];

/** Length and number of measurements. */
export interface Timing {
  /** Milliseconds of work that one measurement should hold. */
  readonly longEnough: number;
  readonly rounds: number;
}

/** A WebGPU device with timestamps. */
export class BareDevice implements Disposable {
  readonly device: GPUDevice;
  readonly adapter: GPUAdapter;
  readonly target: Target;
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  readonly #stamps: GPUQuerySet;
  readonly #stampBuffer: GPUBuffer;

  private constructor(
    adapter: GPUAdapter,
    device: GPUDevice,
    tiling: Target["tiling"],
  ) {
    this.adapter = adapter;
    this.device = device;
    this.target = targetOf(device, { tiling });
    this.#stamps = device.createQuerySet({ type: "timestamp", count: 2 });
    this.#stampBuffer = device.createBuffer({
      size: 16,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
  }

  /** Opens the adapter that WebGPU prefers, with its largest buffers. */
  static async open(tiling?: Target["tiling"]): Promise<BareDevice> {
    const adapter = await navigator.gpu.requestAdapter({
      powerPreference: "high-performance",
    });
    if (!adapter) throw new Error("Cannot measure: there is no WebGPU adapter");
    const { limits } = adapter;
    const device = await adapter.requestDevice({
      requiredFeatures: ["timestamp-query", ...featuresOf(adapter)],
      requiredLimits: {
        maxBufferSize: limits.maxBufferSize,
        maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
        maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
        maxComputeInvocationsPerWorkgroup:
          limits.maxComputeInvocationsPerWorkgroup,
        maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      },
    });
    device.addEventListener("uncapturederror", (event) => {
      throw (event as GPUUncapturedErrorEvent).error;
    });
    const own = isSoftware(adapter) ? "register" : "workgroup";
    return new BareDevice(adapter, device, tiling ?? own);
  }

  /** Creates a buffer with these numbers. */
  buffer(data: Float32Array<ArrayBuffer>): GPUBuffer {
    const buffer = this.empty(data.length);
    this.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  /** Creates a buffer of zeros. */
  empty(length: number): GPUBuffer {
    return this.device.createBuffer({
      size: 4 * length,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC |
        GPUBufferUsage.COPY_DST,
    });
  }

  /** Compiles passes, and binds them to operands by name and to new scratch buffers. */
  async bind(
    { passes, scratch }: Lowering,
    operands: Readonly<Record<string, GPUBuffer>>,
  ): Promise<Bound> {
    const buffers = { ...operands };
    for (const [name, length] of Object.entries(scratch)) {
      buffers[name] = this.empty(length);
    }
    return await Promise.all(
      passes.map(async ({ code, bindings, workgroups }) => {
        const pipeline = await this.#pipeline(code);
        const group = this.device.createBindGroup({
          layout: pipeline.getBindGroupLayout(0),
          entries: bindings.map(({ operand }, binding) => ({
            binding,
            resource: { buffer: buffers[operand]! },
          })),
        });
        return { pipeline, group, workgroups };
      }),
    );
  }

  /** Returns the milliseconds on the device that `times` runs of the passes take, in one submission. */
  async run(passes: Bound, times: number): Promise<number> {
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass({
      timestampWrites: {
        querySet: this.#stamps,
        beginningOfPassWriteIndex: 0,
        endOfPassWriteIndex: 1,
      },
    });
    for (let i = 0; i < times; i++) {
      for (const { pipeline, group, workgroups } of passes) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(...workgroups);
      }
    }
    pass.end();
    encoder.resolveQuerySet(this.#stamps, 0, 2, this.#stampBuffer, 0);
    this.device.queue.submit([encoder.finish()]);
    const stamps = new BigUint64Array(await this.read(this.#stampBuffer));
    return Number(stamps[1]! - stamps[0]!) / 1e6;
  }

  /** Returns the median milliseconds of each item; they take turns, so a slow moment of the machine affects all alike. */
  async measure(
    candidates: readonly Bound[],
    { longEnough, rounds }: Timing,
  ): Promise<number[]> {
    const runs: { passes: Bound; times: number; took: number[] }[] = [];
    for (const passes of candidates) {
      const once = await this.run(passes, 1);
      const times = Math.ceil(longEnough / Math.max(once, 0.01));
      runs.push({ passes, times, took: [] });
    }
    for (let round = 0; round < rounds; round++) {
      for (const { passes, times, took } of runs) {
        took.push(await this.run(passes, times) / times);
      }
    }
    return runs.map(({ took }) => median(took));
  }

  /** Returns a copy of a buffer. */
  async read(source: GPUBuffer): Promise<ArrayBuffer> {
    const staging = this.device.createBuffer({
      size: source.size,
      usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, staging, 0, source.size);
    this.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const data = staging.getMappedRange().slice(0);
    staging.destroy();
    return data;
  }

  async #pipeline(code: string): Promise<GPUComputePipeline> {
    const known = this.#pipelines.get(code);
    if (known) return known;
    const { device } = this;
    device.pushErrorScope("validation");
    const pipeline = device.createComputePipeline({
      layout: "auto",
      compute: { module: device.createShaderModule({ code }) },
    });
    const error = await device.popErrorScope();
    if (error) throw new Error(`${error.message}\n${code}`);
    this.#pipelines.set(code, pipeline);
    return pipeline;
  }

  [Symbol.dispose](): void {
    this.device.destroy();
  }
}

/** Returns true for an adapter that computes on the CPU. */
export function isSoftware({ info }: GPUAdapter): boolean {
  return info.isFallbackAdapter ||
    /llvmpipe|swiftshader/i.test(info.description);
}
