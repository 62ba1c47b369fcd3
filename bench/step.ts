/**
 * Times a training step of a preset: the median of whole steps, none of which is
 * waited for, and on WebGPU where the time goes, kernel by kernel.
 *
 *     deno run -A bench/step.ts [--preset original] [--steps 30] [--rounds 5] [--tiling register|workgroup]
 */

import { parseArgs } from "@std/cli/parse-args";
import { openWebGpu } from "../lib/backends/webgpu.ts";
import { trainConfig } from "../lib/config.ts";
import { Model } from "../lib/language_model.ts";
import { METRIC_SLOTS, scheduleAt } from "../lib/optimizer.ts";
import { trainPlan } from "../lib/plans.ts";
import { type PresetName, presets } from "../lib/presets.ts";
import { CounterRandom, Purpose } from "../lib/random.ts";

const flags = parseArgs(Deno.args, {
  string: ["preset", "steps", "rounds", "tiling"],
  default: { preset: "original", steps: "10", rounds: "5" },
});
const preset = presets[flags.preset as PresetName];
const vocabSize = { ascii: 128, chars: 65, bytes: 256 }[preset.tokenizer];
const train = trainConfig(preset.train);
const tiling = flags.tiling as "register" | "workgroup" | undefined;

/** A model, its training program and the time that making them took. */
async function prepare(profile: boolean) {
  const begun = performance.now();
  const backend = await openWebGpu({
    adapter: "any",
    profile,
    ...(tiling && { tiling }),
  });
  const model = await Model.create({ ...preset.model, vocabSize }, { backend });
  const { batchSize: B } = train;
  const T = model.config.blockSize;
  const plan = trainPlan(model.config, train, { B, T });
  const program = await backend.compile(plan, model.stores);
  const random = new CounterRandom(1, Purpose.batch);
  const ids = (stream: number) =>
    Int32Array.from(
      { length: B * T },
      (_, i) => random.below(vocabSize, stream, i),
    );
  program.buffer("tokens").write(ids(0));
  program.buffer("targets").write(ids(1));
  let step = 0;
  const run = (steps: number) => {
    for (let i = 0; i < steps; i++, step++) {
      program.buffer("key").write([1, step, step % METRIC_SLOTS, 0]);
      program.buffer("schedule").write(scheduleAt(train, step));
      program.run();
    }
  };
  run(1);
  await backend.finish();
  const milliseconds = performance.now() - begun;
  return { backend, model, program, run, tokens: B * T, milliseconds };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

const steps = Number(flags.steps);
{
  const { backend, model, run, tokens, milliseconds } = await prepare(false);
  console.log(`${backend.description}, preset ${flags.preset}`);
  console.log(
    `${model.parameterCount} parameters, ${tokens} tokens a step; opened, compiled and run once in ${
      milliseconds.toFixed(0)
    } ms`,
  );
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
  const { backend, model, program, run } = await prepare(true);
  const perKernel = new Map<string, { count: number; rounds: number[] }>();
  for (let round = 0; round < Number(flags.rounds); round++) {
    run(1);
    const sums = new Map<string, { count: number; ms: number }>();
    const times = await program.profile(); // one for each dispatch, in order
    for (const [i, { kernel, nanoseconds }] of times.entries()) {
      const { dims } = program.plan.dispatches[i]!;
      const form = "form" in dims
        ? ` ${dims.form} ${dims.M}x${dims.N}x${dims.K}`
        : "";
      const sum = sums.get(kernel + form) ?? { count: 0, ms: 0 };
      sum.count++;
      sum.ms += nanoseconds / 1e6;
      sums.set(kernel + form, sum);
    }
    for (const [kernel, { count, ms }] of sums) {
      const entry = perKernel.get(kernel) ?? { count, rounds: [] };
      entry.rounds.push(ms);
      perKernel.set(kernel, entry);
    }
  }
  const rows = [...perKernel].map(([kernel, { count, rounds }]) => ({
    kernel,
    count,
    ms: median(rounds),
  })).sort((a, b) => b.ms - a.ms);
  const total = rows.reduce((sum, { ms }) => sum + ms, 0);
  for (const { kernel, count, ms } of rows) {
    console.log(
      `${kernel.padEnd(32)} ${String(count).padStart(3)} x ${
        (ms / count).toFixed(3).padStart(8)
      } ms ${ms.toFixed(2).padStart(8)} ms ${
        (100 * ms / total).toFixed(1).padStart(5)
      } %`,
    );
  }
  console.log(`${total.toFixed(1)} ms in kernels`);
  await model[Symbol.asyncDispose]();
  await backend[Symbol.asyncDispose]();
}
