/**
 * A plan bound to a WebGPU device: buffers, bind groups and the list of compute
 * passes. Everything that can be made once is made when the plan is compiled; a
 * run only encodes and submits.
 */

import type { BufferSpec, Plan } from "../../graph/plan.ts";
import type { DispatchTime, Stores } from "../backend.ts";
import { nameOf } from "../checks.ts";
import {
  bindProgram,
  BoundProgram,
  bufferBytes,
  type DispatchRange,
  type ProgramMemory,
} from "../program.ts";
import type { WebGpuBuffer } from "./buffer.ts";
import { sizeOf, type WebGpuDevice } from "./device.ts";
import { type LoweredPlan, lowerPlan, type PlacedPass } from "./lowering.ts";
import type { Pipeline } from "./pipelines.ts";
import { PassTimer } from "./timer.ts";
import { refusal } from "../../refusal.ts";

/** The device, and how a program's buffers are made on it: see `WebGpuBackend`. */
interface Engine extends WebGpuDevice {
  allocate(spec: BufferSpec): WebGpuBuffer;
}

/**
 * Binds a plan; see `Executor.compile`.
 *
 * @throws {OutOfMemoryError} if there is no memory for it; nothing is left allocated then
 * @throws {RangeError} if the plan exceeds the adapter's limits, or a store of another shape exists
 * @throws {Error} if WebGPU refuses a kernel
 */
export function compileProgram(
  plan: Plan,
  stores: Stores,
  backend: Engine,
): Promise<WebGpuProgram> {
  return bindProgram(plan, stores, backend, async (memory) => {
    const action = `compile ${plan.name}`;
    const { passes, scratch } = lower(plan, backend);
    const pipelines = await backend.settle(
      action,
      Promise.all(
        passes.map(({ pass, dispatch }) =>
          backend.pipelines.get(pass, nameOf(plan.dispatches[dispatch]!))
        ),
      ),
    );
    backend.checkOpen(action);
    const needed = measurePlans([plan], stores, backend, scratch);
    const { result: program, failure } = backend.watch(action, needed, () => {
      memory.allocate();
      return new WebGpuProgram(memory, { backend, passes, pipelines, scratch });
    });
    const refused = await backend.settle(action, failure);
    if (refused) throw refused;
    backend.checkOpen(action);
    return program;
  });
}

/** Lowers a plan to passes, and checks its buffers and passes against the adapter's limits. */
function lower(plan: Plan, backend: WebGpuDevice): LoweredPlan {
  for (const spec of plan.buffers) backend.checkSize(spec);
  return lowerPlan(plan, backend.target, backend.device.limits);
}

/**
 * Returns the bytes that compiling all of these plans allocates, together; see `Executor.measure`.
 *
 * @param scratch lengths of the plans' scratch buffers, in 32-bit words
 */
export function measurePlans(
  plans: readonly Plan[],
  stores: Stores | undefined,
  backend: WebGpuDevice,
  scratch?: readonly number[],
): number {
  const buffers = bufferBytes(plans, stores, backend);
  scratch ??= plans.flatMap((plan) => lower(plan, backend).scratch);
  return scratch.reduce((sum, length) => sum + sizeOf(length), buffers);
}

/** One pass, ready to be encoded. */
interface BoundPass {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [x: number, y: number, z: number];
  /** Index into {@linkcode Plan.dispatches}. */
  readonly dispatch: number;
}

/** A program on a GPU. */
export class WebGpuProgram extends BoundProgram<WebGpuBuffer> {
  readonly #device: GPUDevice;
  readonly #passes: readonly BoundPass[];
  readonly #timer: PassTimer | undefined;

  /** Makes the scratch buffers and the bind groups. */
  constructor(
    memory: ProgramMemory<WebGpuBuffer>,
    { backend, passes, pipelines, scratch }: LoweredPlan & {
      readonly backend: WebGpuDevice;
      /** One pipeline for each pass. */
      readonly pipelines: readonly Pipeline[];
    },
  ) {
    const buffers = memory.buffers.map(({ gpu }) => gpu);
    for (const [i, length] of scratch.entries()) {
      const buffer = backend.createBuffer(
        `scratch ${i}`,
        length,
        GPUBufferUsage.STORAGE,
      );
      memory.own(buffer.size, () => backend.destroyBuffer(buffer));
      buffers.push(buffer);
    }
    super(memory);
    this.#device = backend.device;
    if (backend.profile) {
      const timer = new PassTimer(backend);
      memory.own(0, () => timer.destroy());
      this.#timer = timer;
    }
    this.#passes = passes.map((placed, i) =>
      this.#bind(placed, pipelines[i]!, buffers)
    );
  }

  /**
   * Returns the GPU time of each dispatch of the latest run, in the order they ran.
   *
   * @throws {TypeError} if the backend was not opened with `profile`
   */
  async profile(): Promise<DispatchTime[]> {
    this.checkUsable("profile");
    if (this.#timer) return await this.#timer.read(this.plan);
    throw refusal(
      TypeError,
      `profile ${this.plan.name}`,
      "its backend was opened without profile",
    );
  }

  protected runRanges(ranges: readonly DispatchRange[]): void {
    const passes = ranges.flatMap(([from, to]) =>
      this.#passes.filter(({ dispatch }) => from <= dispatch && dispatch < to)
    );
    const timer = this.#timer;
    timer?.start(passes.map(({ dispatch }) => dispatch));
    // WebGPU orders the dispatches of a pass by what they read and write, so one pass is enough; timestamps need a pass for each.
    const groups = timer ? passes.map((bound) => [bound]) : [passes];
    const encoder = this.#device.createCommandEncoder({
      label: this.plan.name,
    });
    for (const [i, group] of groups.entries()) {
      const pass = encoder.beginComputePass(
        timer && { timestampWrites: timer.writes(i) },
      );
      for (const { pipeline, bindGroup, workgroups: [x, y, z] } of group) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bindGroup);
        pass.dispatchWorkgroups(x, y, z);
      }
      pass.end();
    }
    timer?.resolve(encoder);
    this.#device.queue.submit([encoder.finish()]);
  }

  #bind(
    { pass: { workgroups }, dispatch, operands }: PlacedPass,
    { pipeline, layout }: Pipeline,
    buffers: readonly GPUBuffer[],
  ): BoundPass {
    const bindGroup = this.#device.createBindGroup({
      label: nameOf(this.plan.dispatches[dispatch]!),
      layout,
      entries: operands.map(({ buffer, offset, length }, binding) => ({
        binding,
        resource: {
          buffer: buffers[buffer]!,
          offset: 4 * offset,
          size: 4 * length,
        },
      })),
    });
    return { pipeline, bindGroup, workgroups, dispatch };
  }
}
