/**
 * A plan bound to a WebGPU device: buffers, bind groups and the list of compute
 * passes. Everything that can be made once is made when the plan is compiled; a
 * run only encodes and submits.
 */

import type { BufferSpec, Plan } from "../../graph/plan.ts";
import type {
  DeviceBuffer,
  DispatchTime,
  Program,
  Stores,
} from "../backend.ts";
import { bufferBytes, checkPlan, knownStore, nameOf } from "../checks.ts";
import { type StagingPool, WebGpuBuffer } from "./buffer.ts";
import { sizeOf, type WebGpuContext } from "./context.ts";
import { type BoundPass, type LoweredPlan, lowerPlan } from "./lowering.ts";
import type { Pipeline, PipelineCache } from "./pipelines.ts";
import { PassTimer } from "./timer.ts";

/** A {@linkcode Program} on a GPU. */
export interface WebGpuProgram extends Program {
  /**
   * GPU time of each dispatch of the latest run, in the order they ran.
   *
   * @throws {TypeError} if the backend was not opened with `profile`
   */
  profile(): Promise<DispatchTime[]>;
}

/** What a backend compiles programs with. */
export interface Workshop {
  readonly context: WebGpuContext;
  readonly pipelines: PipelineCache;
  readonly staging: StagingPool;
}

/** One pass, ready to be encoded. */
interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [x: number, y: number, z: number];
  /** Index into {@linkcode Plan.dispatches}. */
  readonly dispatch: number;
}

/**
 * Binds a plan; see `Executor.compile`.
 *
 * @throws {OutOfMemoryError} if there is no memory for it; nothing is left allocated then
 * @throws {RangeError} if the plan wants more than the adapter has, or a store of another shape exists
 * @throws {Error} if WebGPU refuses a kernel
 */
export async function compileProgram(
  plan: Plan,
  stores: Stores,
  workshop: Workshop,
): Promise<WebGpuProgram> {
  const { context, pipelines } = workshop;
  const action = `compile ${plan.name}`;
  context.checkOpen(action);
  checkPlan(plan);
  const { passes, scratch } = lower(plan, context);
  const compiled = await context.settle(
    action,
    Promise.all(
      passes.map(({ pass, dispatch }) =>
        pipelines.get(pass, nameOf(plan.dispatches[dispatch]!))
      ),
    ),
  );
  context.checkOpen(action);

  const before = new Set(stores.keys());
  const needed = bytesOf([plan], scratch, stores);
  const { result: program, refusal } = context.watch(action, needed, () => {
    const memory = allocate(plan, scratch, stores, workshop);
    const program = new BoundProgram(plan, memory, workshop);
    program.bind(passes, compiled);
    return program;
  });
  const made = [...stores].filter(([name]) => !before.has(name));
  const refused = await context.settle(action, refusal);
  if (refused) {
    program.destroy();
    for (const [name, store] of made) {
      store.destroy();
      stores.delete(name);
    }
    throw refused;
  }
  context.checkOpen(action);
  return program;
}

/** A plan as passes, none of which the adapter refuses. */
function lower(plan: Plan, context: WebGpuContext): LoweredPlan {
  for (const spec of plan.buffers) context.checkSize(spec);
  return lowerPlan(plan, context.target, context.device.limits);
}

/** Returns the bytes that compiling plans allocates, all of them together; see `Executor.measure`. */
export function measurePlans(
  plans: readonly Plan[],
  stores: Stores | undefined,
  context: WebGpuContext,
): number {
  const scratch = plans.flatMap((plan) => lower(plan, context).scratch);
  return bytesOf(plans, scratch, stores);
}

/** @param scratch lengths of the plans' scratch buffers, in 32-bit words */
function bytesOf(
  plans: readonly Plan[],
  scratch: readonly number[],
  stores: Stores | undefined,
): number {
  return scratch.reduce(
    (sum, length) => sum + sizeOf(length),
    bufferBytes(plans, stores, ({ length }) => sizeOf(length)),
  );
}

/** The memory of a program. */
interface Memory {
  /** In the order of {@linkcode Plan.buffers}. */
  readonly buffers: readonly WebGpuBuffer[];
  readonly scratch: readonly GPUBuffer[];
}

function allocate(
  plan: Plan,
  scratch: readonly number[],
  stores: Stores,
  workshop: Workshop,
): Memory {
  const { context, staging } = workshop;
  // Stores first: a mismatch must leave nothing behind.
  const named = plan.buffers.map((spec) =>
    spec.kind === "store" ? sharedStore(spec, stores, workshop) : undefined
  );
  return {
    buffers: plan.buffers.map((spec, i) =>
      named[i] ?? new WebGpuBuffer(spec, context, staging)
    ),
    scratch: scratch.map((length, i) =>
      context.createBuffer(`scratch ${i}`, length, GPUBufferUsage.STORAGE)
    ),
  };
}

/** The store of this name, made if it is missing. */
function sharedStore(
  spec: BufferSpec,
  stores: Stores,
  { context, staging }: Workshop,
): WebGpuBuffer {
  const known = knownStore(
    spec,
    stores,
    (store): store is WebGpuBuffer =>
      store instanceof WebGpuBuffer && store.context === context,
  );
  if (known) return known;
  const made = new WebGpuBuffer(spec, context, staging);
  stores.set(spec.name, made);
  return made;
}

/** The one implementation of {@linkcode WebGpuProgram}. */
class BoundProgram implements WebGpuProgram {
  readonly plan: Plan;
  readonly bytes: number;
  readonly #context: WebGpuContext;
  readonly #memory: Memory;
  readonly #named: ReadonlyMap<string, WebGpuBuffer>;
  readonly #timer: PassTimer | undefined;
  #steps: readonly Step[] = [];
  #phases: ReadonlyMap<string, readonly Step[]> = new Map();
  #destroyed = false;

  constructor(plan: Plan, memory: Memory, { context, staging }: Workshop) {
    this.plan = plan;
    this.bytes = [
      ...memory.buffers.filter(({ spec }) => spec.kind !== "store")
        .map(({ gpu }) => gpu),
      ...memory.scratch,
    ].reduce((sum, { size }) => sum + size, 0);
    this.#context = context;
    this.#memory = memory;
    this.#named = new Map(
      memory.buffers
        .filter(({ spec }) => spec.kind !== "slot")
        .map((buffer) => [buffer.spec.name, buffer]),
    );
    this.#timer = context.profile ? new PassTimer(context, staging) : undefined;
  }

  /** Makes the bind groups. */
  bind(passes: readonly BoundPass[], pipelines: readonly Pipeline[]): void {
    const { device } = this.#context;
    const { buffers, scratch } = this.#memory;
    const memory = [...buffers.map(({ gpu }) => gpu), ...scratch];
    this.#steps = passes.map(({ pass, dispatch, stretches }, i) => {
      const { pipeline, layout } = pipelines[i]!;
      const bindGroup = device.createBindGroup({
        label: nameOf(this.plan.dispatches[dispatch]!),
        layout,
        entries: stretches.map(({ buffer, offset, length }, binding) => ({
          binding,
          resource: {
            buffer: memory[buffer]!,
            offset: 4 * offset,
            size: 4 * length,
          },
        })),
      });
      return { pipeline, bindGroup, workgroups: pass.workgroups, dispatch };
    });
    this.#phases = new Map(
      Object.entries(this.plan.phases).map(([name, [from, to]]) => [
        name,
        this.#steps.filter(({ dispatch }) => from <= dispatch && dispatch < to),
      ]),
    );
  }

  buffer(name: string): DeviceBuffer {
    const buffer = this.#named.get(name);
    if (buffer) return buffer;
    throw new RangeError(
      `Cannot find buffer ${name}: ${this.plan.name} has ${
        [...this.#named.keys()].join(", ")
      }`,
    );
  }

  run(phases?: readonly string[]): void {
    this.#checkUsable();
    const steps = phases
      ? phases.flatMap((name) => this.#phase(name))
      : this.#steps;
    const encoder = this.#context.device.createCommandEncoder({
      label: this.plan.name,
    });
    if (this.#timer) encodeTimed(steps, encoder, this.#timer);
    else encode(steps, encoder);
    this.#context.device.queue.submit([encoder.finish()]);
  }

  async profile(): Promise<DispatchTime[]> {
    this.#checkUsable();
    if (this.#timer) return await this.#timer.read(this.plan);
    throw new TypeError(
      `Cannot profile ${this.plan.name}: its backend was opened without profile`,
    );
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    for (const { spec, gpu } of this.#memory.buffers) {
      if (spec.kind !== "store") this.#context.destroyBuffer(gpu);
    }
    for (const buffer of this.#memory.scratch) {
      this.#context.destroyBuffer(buffer);
    }
    this.#timer?.destroy();
  }

  #phase(name: string): readonly Step[] {
    const steps = this.#phases.get(name);
    if (steps) return steps;
    throw new RangeError(
      `Cannot run phase ${name}: ${this.plan.name} has ${
        [...this.#phases.keys()].join(", ") || "no phases"
      }`,
    );
  }

  #checkUsable(): void {
    this.#context.checkOpen(`run ${this.plan.name}`);
    if (!this.#destroyed) return;
    throw new TypeError(
      `Cannot run ${this.plan.name}: the program was destroyed`,
    );
  }
}

/** All steps in one pass: WebGPU orders its dispatches by what they read and write. */
function encode(steps: readonly Step[], encoder: GPUCommandEncoder): void {
  const pass = encoder.beginComputePass();
  for (const step of steps) dispatch(step, pass);
  pass.end();
}

function encodeTimed(
  steps: readonly Step[],
  encoder: GPUCommandEncoder,
  timer: PassTimer,
): void {
  timer.start(steps.map(({ dispatch }) => dispatch));
  steps.forEach((step, i) => {
    const pass = encoder.beginComputePass({ timestampWrites: timer.writes(i) });
    dispatch(step, pass);
    pass.end();
  });
  timer.resolve(encoder);
}

function dispatch(
  { pipeline, bindGroup, workgroups: [x, y, z] }: Step,
  pass: GPUComputePassEncoder,
): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(x, y, z);
}
