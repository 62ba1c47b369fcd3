/** Times training steps of a preset: whole ones, and each kernel of one. */

import { presetTraining, RandomSteps } from "../../lib/checks/workloads.ts";
import { internalsOf } from "../../lib/model/internals.ts";
import type {
  DispatchTime,
  Executor,
  Program,
} from "../../lib/backends/backend.ts";
import type { PresetName } from "../../lib/config/presets.ts";
import type { Dispatch } from "../../lib/graph/plan.ts";
import { median } from "../../tools/soak/trend.ts";

/** A backend whose programs can be profiled. */
export interface ProfiledBackend extends Executor {
  /** Binds a plan. */
  compile(
    ...args: Parameters<Executor["compile"]>
  ): Promise<Program & { profile(): DispatchTime[] | Promise<DispatchTime[]> }>;
}

/** Time of whole steps. */
export interface StepTime {
  readonly parameters: number;
  readonly tokens: number;
  readonly bytes: number;
  /** Milliseconds of compiling and the first step. */
  readonly firstMs: number;
  /** Milliseconds a step, median of the rounds. */
  readonly ms: number;
  readonly rounds: readonly number[];
  readonly gflops: number;
}

/** Times whole steps of a preset. */
export async function timeSteps(
  backend: Executor,
  preset: PresetName,
  { steps, rounds }: { readonly steps: number; readonly rounds: number },
): Promise<StepTime> {
  const begun = performance.now();
  await using work = await RandomSteps.open(backend, presetTraining(preset));
  const { model, tokens } = work;
  const program = await work.compile();
  work.fill(program);
  const run = async (steps: number) => {
    for (let i = 0; i < steps; i++) {
      work.begin(program);
      program.run();
    }
    await backend.finish();
  };
  await run(1);
  const firstMs = performance.now() - begun;
  await run(Math.ceil(steps / 2));
  const took: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const begun = performance.now();
    await run(steps);
    took.push((performance.now() - begun) / steps);
  }
  const ms = median(took);
  return {
    ...{ parameters: model.parameterCount, tokens, firstMs, ms, rounds: took },
    bytes: backend.allocatedBytes,
    gflops: model.flopsPerToken * tokens / ms / 1e6,
  };
}

/** Time of all dispatches of one kernel and one shape in a step. */
export interface OpTime {
  readonly name: string;
  /** Dispatches in a step. */
  readonly count: number;
  /** Milliseconds of all of them. */
  readonly ms: number;
  /** Floating-point operations of all of them in 1e9 a second; 0 if they mostly move memory. */
  readonly gflops: number;
  /** Bytes of their operands in 1e9 a second. */
  readonly gigabytes: number;
}

/** Times the kernels of a preset's step, slowest first. */
export async function timeOps(
  backend: ProfiledBackend,
  preset: PresetName,
  rounds: number,
): Promise<OpTime[]> {
  await using work = await RandomSteps.open(backend, presetTraining(preset));
  const { plan } = work;
  const { dispatches } = plan;
  const program = await backend.compile(plan, internalsOf(work.model).stores);
  work.fill(program);
  const profiled = async () => {
    work.begin(program);
    if (backend.kind !== "wasm") program.run();
    return await program.profile();
  };
  await profiled();
  const kinds = Map.groupBy(
    dispatches.keys(),
    (index) => describe(dispatches[index]!).name,
  );
  const sums = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    const times = await profiled(); // one for each dispatch, in order
    for (const [name, indices] of kinds) {
      const ms = indices.reduce((sum, i) => sum + times[i]!.nanoseconds, 0);
      sums.set(name, [...sums.get(name) ?? [], ms / 1e6]);
    }
  }
  return Array.from(kinds, ([name, indices]) => {
    const { flops, bytes } = describe(dispatches[indices[0]!]!);
    const ms = median(sums.get(name)!);
    const perMs = indices.length / ms / 1e6;
    return {
      ...{ name, count: indices.length, ms },
      ...{ gflops: flops * perMs, gigabytes: bytes * perMs },
    };
  }).sort((a, b) => b.ms - a.ms);
}

/** Returns a dispatch's name in tables, its floating point operations, and the bytes of its operands. */
export function describe(
  { kernel, dims, outputs, inputs }: Dispatch,
): { name: string; flops: number; bytes: number } {
  const words = [...outputs, ...inputs].reduce(
    (n, { length }) => n + length,
    0,
  );
  if (kernel === "matmul") {
    const { form, count, M, N, K } = dims;
    const flops = 2 * count * M * N * K;
    const times = count === 1 ? "" : `${count} `;
    const name = `matmul ${form} ${times}${M}x${N}x${K}`;
    return { name, flops, bytes: 4 * words };
  }
  let flops = 0;
  if (kernel === "attention" || kernel === "attentionBackward") {
    const { B, T, NH, HS, mask } = dims;
    const products = kernel === "attention" ? 2 : 5;
    const pairs = mask === "causal" ? T * (T + 1) / 2 : T * T;
    flops = 2 * products * B * NH * pairs * HS;
  }
  return { name: kernel, flops, bytes: 4 * words };
}
