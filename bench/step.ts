/**
 * Times a training step of a preset: the median of whole steps, and where the time
 * goes, kernel by kernel.
 *
 *     deno run -A bench/step.ts [--device wasm|webgpu] [--threads 2] [--preset original]
 *       [--blas auto|off|PATH] [--steps 10] [--rounds 5] [--tiling register|workgroup]
 */

import type { DispatchTime } from "../lib/backends/backend.ts";
import { openWasm } from "../lib/backends/wasm/engine.ts";
import { openWebGpu } from "../lib/backends/webgpu/engine.ts";
import type { Dispatch } from "../lib/graph/plan.ts";
import type { PresetName } from "../lib/config/presets.ts";
import { internalsOf } from "../lib/model/internals.ts";
import { readFlags } from "../tools/flags.ts";
import { median } from "../tools/soak/trend.ts";
import { presetTraining, RandomSteps } from "../lib/checks/workloads.ts";

const { flags } = readFlags({
  ...{ device: "wasm", preset: "original", steps: "10", rounds: "5" },
  ...{ blas: "auto", threads: undefined, tiling: undefined },
});
const tiling = flags.tiling as "register" | "workgroup" | undefined;
const threads = {
  blas: flags.blas,
  ...(flags.threads !== undefined && { threads: Number(flags.threads) }),
};

/** Opens a backend whose programs can be timed. */
async function open(profile: boolean) {
  return flags.device === "wasm" ? await openWasm(threads) : await openWebGpu({
    adapter: "any",
    profile,
    ...(tiling && { tiling }),
  });
}

/** Makes a model and its training program, and measures the time that making them takes. */
async function prepare(profile: boolean) {
  const begun = performance.now();
  const backend = await open(profile);
  const work = await RandomSteps.open(
    backend,
    presetTraining(flags.preset as PresetName),
  );
  const { model, plan, tokens } = work;
  const program = await backend.compile(plan, internalsOf(model).stores);
  work.fill(program);
  const run = (steps: number) => {
    for (let i = 0; i < steps; i++) {
      work.begin(program);
      program.run();
    }
  };
  const profiled = async (): Promise<DispatchTime[]> => {
    work.begin(program);
    if (flags.device !== "wasm") program.run();
    return await program.profile();
  };
  run(1);
  await backend.finish();
  const milliseconds = performance.now() - begun;
  return { backend, model, plan, run, profiled, tokens, milliseconds };
}

/** Returns a dispatch's name in the table, its floating point operations, and the bytes of its operands. */
function describe({ kernel, dims, outputs, inputs }: Dispatch) {
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

const steps = Number(flags.steps);
{
  const { backend, model, run, tokens, milliseconds } = await prepare(false);
  console.log(`${backend.description}, preset ${flags.preset}`);
  console.log(
    `${model.parameterCount} parameters, ${tokens} tokens a step; opened, compiled and run once in ${
      milliseconds.toFixed(0)
    } ms; ${(backend.allocatedBytes / 1e6).toFixed(0)} MB on the device`,
  );
  run(5);
  const rounds: number[] = [];
  for (let round = 0; round < Number(flags.rounds); round++) {
    const begun = performance.now();
    run(steps);
    await backend.finish();
    rounds.push((performance.now() - begun) / steps);
  }
  const best = median(rounds);
  const gflops = model.flopsPerToken * tokens / best / 1e6;
  console.log(
    `${
      best.toFixed(1)
    } ms a step (median of ${rounds.length} rounds of ${steps}; ${
      rounds.map((ms) => ms.toFixed(0)).join(" ")
    }), ${gflops.toFixed(1)} GFLOP/s, ${
      (1000 * tokens / best).toFixed(0)
    } tokens/s`,
  );
  await model[Symbol.asyncDispose]();
  await backend[Symbol.asyncDispose]();
}
{
  const { backend, model, plan, run, profiled } = await prepare(true);
  run(5);
  const kinds = Map.groupBy(
    plan.dispatches.keys(),
    (index) => describe(plan.dispatches[index]!).name,
  );
  const sums = new Map<string, number[]>();
  for (let round = 0; round < 4 * Number(flags.rounds); round++) {
    const times = await profiled(); // one for each dispatch, in order
    for (const [name, indices] of kinds) {
      const ms = indices.reduce((sum, i) => sum + times[i]!.nanoseconds, 0);
      sums.set(name, [...sums.get(name) ?? [], ms / 1e6]);
    }
  }
  const rows = [...kinds].map(([name, indices]) => {
    const { flops, bytes } = describe(plan.dispatches[indices[0]!]!);
    const ms = median(sums.get(name)!);
    const perMs = indices.length / ms / 1e6;
    return { name, count: indices.length, ms, flops, bytes, perMs };
  }).sort((a, b) => b.ms - a.ms);
  const total = rows.reduce((sum, { ms }) => sum + ms, 0);
  for (const { name, count, ms, flops, bytes, perMs } of rows) {
    const rate = flops > 0
      ? `${(flops * perMs).toFixed(1).padStart(8)} GFLOP/s`
      : `${(bytes * perMs).toFixed(1).padStart(8)} GB/s   `;
    console.log(
      `${name.padEnd(26)} ${String(count).padStart(3)} x ${
        (ms / count).toFixed(3).padStart(8)
      } ms ${ms.toFixed(2).padStart(8)} ms ${rate} ${
        (100 * ms / total).toFixed(1).padStart(5)
      } %`,
    );
  }
  console.log(`${total.toFixed(1)} ms in kernels`);
  await model[Symbol.asyncDispose]();
  await backend[Symbol.asyncDispose]();
}
