/**
 * Times what a run's records cost it: the lines of `metrics.jsonl`, TensorBoard's
 * events and the display, as `train` keeps them, against the training step.
 *
 *     deno run -A bench/record.ts [--preset default] [--device wasm] [--steps 400]
 *       [--against FOLDER]
 *
 * `--against` names another working copy, whose way of recording takes turns with this one's
 * in the same training, 20 steps each.
 */

import { join, resolve, toFileUrl } from "@std/path";
import { StatusLine } from "../lib/cli/terminal/terminal.ts";
import { prepareTraining } from "../lib/cli/verbs/training_setup.ts";
import { Model } from "../lib/model/model.ts";
import type { PresetName } from "../lib/config/presets.ts";
import { Trainer } from "../lib/train/trainer.ts";
import { readFlags } from "../tools/flags.ts";

/** Steps before the next way of recording has its turn, and before any is timed. */
const TURN = 20;

const { flags } = readFlags({
  ...{ preset: "default", device: "wasm", steps: "400", against: undefined },
});
const steps = Number(flags.steps);
const directory = await Deno.makeTempDir();
const setup = await prepareTraining({
  preset: flags.preset as PresetName,
  maxSteps: steps + TURN,
  evalInterval: 0,
  sampleInterval: 0,
  checkpointInterval: 0,
  out: join(directory, "unused"),
}, new AbortController().signal);

/** Returns the recording functions of a working copy, which write into a directory of their own. */
async function recording(name: string, folder: string) {
  type Directories = typeof import("../lib/cli/run/directory.ts");
  type Reports = typeof import("../lib/cli/verbs/training_report.ts");
  const module = (path: string) => toFileUrl(resolve(folder, path)).href;
  const { RunDirectory }: Directories = await import(
    module("lib/cli/run/directory.ts")
  );
  const { TrainingReport }: Reports = await import(
    module("lib/cli/verbs/training_report.ts")
  );
  const run = await RunDirectory.open(join(directory, name), { config: {} });
  const report = new TrainingReport({
    setup,
    directory: run,
    status: new StatusLine(false),
    json: false,
    weights: () => model.save(),
    onOutputClosed: () => {},
    onLossEndsRun: () => {},
  });
  return { name, run, report, milliseconds: [] as number[] };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value) / values.length;
}

await using model = await Model.create(setup.model, {
  device: flags.device as "wasm" | "webgpu",
  seed: setup.train.seed,
});
const recordings = [
  await recording("here", join(import.meta.dirname!, "..")),
  ...flags.against ? [await recording("there", flags.against)] : [],
];
const trainer = new Trainer(model, setup.dataset, setup.train);
let count = 0;
let begun = NaN;
for await (const event of trainer.run()) {
  if (event.kind !== "step") continue;
  const turn = Math.floor(count / TURN) - 1;
  if (count++ === TURN) begun = performance.now();
  const { report, milliseconds } =
    recordings[Math.max(0, turn) % recordings.length]!;
  const from = performance.now();
  await report.take(event);
  if (turn >= 0) milliseconds.push(performance.now() - from);
}
const step = (performance.now() - begun) / steps;
console.log(
  `${flags.preset} on ${model.backend.description}: ${
    step.toFixed(1)
  } ms a step, mean of ${steps}`,
);
for (const { name, run, milliseconds } of recordings) {
  run[Symbol.dispose]();
  const cost = mean(milliseconds);
  console.log(
    `${name}: ${cost.toFixed(3)} ms to record a step, ${
      (100 * cost / step).toFixed(2)
    } %`,
  );
}
await Deno.remove(directory, { recursive: true });
