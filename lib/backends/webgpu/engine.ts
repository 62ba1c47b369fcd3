/**
 * The WebGPU backend: opens an adapter through the global `navigator.gpu`, in
 * Deno and in browsers alike, and executes plans on it. The parts are beside this
 * file (`webgpu_*.ts`), the kernels in `kernels/wgsl/`.
 */

import type { Target } from "../../../kernels/wgsl/kernel.ts";
import type { BufferSpec, Plan } from "../../graph/plan.ts";
import {
  type DeviceBuffer,
  type Executor,
  NoAdapterError,
  type Stores,
} from "../backend.ts";
import { StagingPool, WebGpuBuffer } from "./buffer.ts";
import { sizeOf, WebGpuContext } from "./context.ts";
import { PipelineCache } from "./pipelines.ts";
import {
  compileProgram,
  measurePlans,
  type WebGpuProgram,
  type Workshop,
} from "./program.ts";

/** How to open a WebGPU device. */
export interface WebGpuOptions {
  /**
   * `hardware` (the default) refuses software adapters; `any` takes what there is.
   */
  readonly adapter?: "hardware" | "any" | undefined;
  /** Which GPU of a machine with several; by default `high-performance`. */
  readonly powerPreference?: "low-power" | "high-performance" | undefined;
  /** Which family of kernels; by default the one that suits the adapter. */
  readonly tiling?: Target["tiling"] | undefined;
  /** Whether programs time their dispatches (see {@linkcode WebGpuProgram.profile}), which costs speed. */
  readonly profile?: boolean | undefined;
}

/** A {@linkcode Executor} on a GPU. */
export interface WebGpuBackend extends Executor {
  readonly kind: "webgpu";
  /** Whether the adapter is software. */
  readonly software: boolean;
  /** The device itself, for those who put the buffers to a use of their own. */
  readonly device: GPUDevice;
  compile(plan: Plan, stores: Stores): Promise<WebGpuProgram>;
}

/**
 * Opens a WebGPU device.
 *
 * @throws {NoAdapterError} if there is no such adapter
 * @throws {TypeError} if `profile` is asked of an adapter without timestamps
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
      `Cannot open a GPU: the only WebGPU adapter is ${name}, which is software`,
      'Open it with adapter "any" to run on the software adapter.',
    );
  }
  if (profile && !adapter.features.has("timestamp-query")) {
    throw new TypeError(`Cannot profile: ${name} has no timestamp-query`);
  }
  const device = await adapter.requestDevice({
    requiredLimits: limitsOf(adapter),
    requiredFeatures: profile ? ["timestamp-query"] : [],
  }).catch((error: Error) => {
    // A driver that has just broken down may still name its adapter.
    throw new NoAdapterError(
      `Cannot open ${name}: ${error.message}`,
      'The device "wasm" computes on the CPU.',
    );
  });
  const tiling = options.tiling ?? (software ? "register" : "workgroup");
  const context = new WebGpuContext(device, target(device, tiling), profile);
  const description = software ? `${name} (software)` : name;
  return new OpenBackend(context, { description, software });
}

async function requestAdapter(
  { adapter: wanted, powerPreference = "high-performance" }: WebGpuOptions,
): Promise<GPUAdapter> {
  // Absent in runtimes without WebGPU, whatever the types say.
  const gpu = globalThis.navigator?.gpu as GPU | undefined;
  if (!gpu) {
    throw new NoAdapterError(
      "Cannot open WebGPU: this runtime has none",
      'Deno 2.9 and current browsers have it; the device "wasm" computes on the CPU.',
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference }) ??
    (wanted === "any"
      ? await gpu.requestAdapter({ forceFallbackAdapter: true })
      : null);
  if (adapter) return adapter;
  throw new NoAdapterError(
    "Cannot open WebGPU: there is no adapter",
    'Install a graphics driver with Vulkan; the device "wasm" computes on the CPU.',
  );
}

/** The adapter in words; browsers leave most fields empty. */
function describe(info: GPUAdapterInfo): string {
  const { description, vendor, architecture, device } = info;
  return description ||
    [vendor, architecture, device].filter(Boolean).join(" ") ||
    "an unnamed adapter";
}

/** Everything that the adapter has of what kernels use; a device gets the modest defaults otherwise. */
function limitsOf({ limits }: GPUAdapter): Record<string, number> {
  return {
    maxBufferSize: limits.maxBufferSize,
    maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
    maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
    maxComputeWorkgroupSizeY: limits.maxComputeWorkgroupSizeY,
    maxComputeWorkgroupSizeZ: limits.maxComputeWorkgroupSizeZ,
    maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
  };
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

/** The one implementation of {@linkcode WebGpuBackend}. */
class OpenBackend implements WebGpuBackend {
  readonly kind = "webgpu";
  readonly description: string;
  readonly software: boolean;
  readonly #workshop: Workshop;

  constructor(
    context: WebGpuContext,
    { description, software }: { description: string; software: boolean },
  ) {
    this.description = description;
    this.software = software;
    this.#workshop = {
      context,
      pipelines: new PipelineCache(context.device),
      staging: new StagingPool(context),
    };
  }

  get device(): GPUDevice {
    return this.#workshop.context.device;
  }

  get allocatedBytes(): number {
    return this.#workshop.context.allocatedBytes;
  }

  /** WebGPU does not say. */
  readonly room = undefined;

  async createStore(spec: BufferSpec): Promise<DeviceBuffer> {
    const { context, staging } = this.#workshop;
    const action = `allocate ${spec.name}`;
    context.checkOpen(action);
    context.checkSize(spec);
    const { result: store, refusal } = context.watch(
      action,
      sizeOf(spec.length),
      () => new WebGpuBuffer(spec, context, staging),
    );
    const refused = await context.settle(action, refusal);
    if (refused === undefined) return store;
    store.destroy();
    throw refused;
  }

  measure(plans: readonly Plan[], stores?: Stores): number {
    return measurePlans(plans, stores, this.#workshop.context);
  }

  compile(plan: Plan, stores: Stores): Promise<WebGpuProgram> {
    return compileProgram(plan, stores, this.#workshop);
  }

  async finish(): Promise<void> {
    const { context } = this.#workshop;
    context.checkOpen("finish");
    const done = context.device.queue.onSubmittedWorkDone();
    await context.settle("finish", context.hold(done));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#workshop.context.close();
  }
}
