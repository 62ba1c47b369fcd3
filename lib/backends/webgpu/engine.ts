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
  type ProductTables,
  type Stores,
} from "../backend.ts";
import { hasHalves } from "../halves.ts";
import { StagingPool, WebGpuBuffer } from "./buffer.ts";
import { featuresOf, targetOf, WebGpuDevice } from "./device.ts";
import { proveHalves } from "./halves.ts";
import { compileProgram, measurePlans, type WebGpuProgram } from "./program.ts";
import { withoutMatrices } from "./matrices.ts";
import { requestSubgroups, withSubgroups } from "./subgroups.ts";
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
  /** Variants of matrix products and reductions that were measured to be the fastest, for adapters by their name. */
  readonly products?: ProductTables | undefined;
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
 * @throws {RangeError} if `products` chooses subgroups and they cannot be used on the adapter
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
  const products = options.products?.[name];
  const device = await requestSubgroups(
    products,
    (more) =>
      adapter.requestDevice({
        requiredLimits: Object.fromEntries(
          WANTED_LIMITS.map((name) => [name, adapter.limits[name]]),
        ),
        requiredFeatures: [
          ...withoutMatrices(featuresOf(adapter), products),
          ...profile ? ["timestamp-query" as const] : [],
          ...more,
        ],
      }),
  ).catch((error: Error) => {
    // A driver that has just failed may still offer its adapter.
    throw new NoAdapterError(
      `open ${name}`,
      error.message,
      (device) => `${device("wasm")} computes on the CPU.`,
    );
  });
  const tiling = options.tiling ?? (software ? "register" : "workgroup");
  const choice = targetOf(device, { tiling, products });
  const target = await withSubgroups(device, choice).catch((error) => {
    device.destroy();
    throw error;
  });
  return new WebGpuBackend(device, { name, software, profile, target });
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

/** An executor on a GPU. */
export class WebGpuBackend extends WebGpuDevice {
  readonly #staging: StagingPool = new StagingPool(this);
  /** Settles once the device's float16 was compared with its known answer. */
  #halves: Promise<void> | undefined;

  allocate(spec: BufferSpec): WebGpuBuffer {
    return new WebGpuBuffer(spec, this);
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

  async compile(plan: Plan, stores: Stores): Promise<WebGpuProgram> {
    if (this.halves && hasHalves(plan)) {
      await (this.#halves ??= proveHalves(this, plan));
    }
    return await compileProgram(plan, stores, this);
  }

  /** Returns a copy of `size` bytes of a buffer from `offset` on, as they are after all work submitted so far. */
  override async read(
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
}
