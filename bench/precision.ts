/**
 * Compares training steps that store activations as float16 with those of float32: the memory of every preset's
 * activations and gradients and, for the named presets on WebGPU, the losses of a training and the time of a step, in turns.
 *
 *     deno run -A bench/precision.ts [PRESET...] [--steps 30] [--rounds 5]
 */

import { loadDataset } from "../data/load.ts";
import { openWebGpu } from "../lib/backends/webgpu/engine.ts";
import { presetTraining, RandomSteps } from "../lib/checks/workloads.ts";
import { type PresetName, presets } from "../lib/config/presets.ts";
import type { TrainConfig } from "../lib/config/train.ts";
import { Model } from "../lib/model/model.ts";
import { Dataset } from "../lib/text/dataset.ts";
import { Tokenizer } from "../lib/text/tokenizer.ts";
import { stepPlan } from "../lib/train/step.ts";
import { Trainer } from "../lib/train/trainer.ts";
import { readFlags } from "../tools/flags.ts";
import { median } from "../tools/soak/trend.ts";

const { flags, operands } = readFlags({ steps: "30", rounds: "5" });
const precisions = ["f32", "f16"] as const;

/** Returns a preset's training in a precision. */
function trainingIn(name: PresetName, precision: TrainConfig["precision"]) {
  const { model, train } = presetTraining(name);
  return { model, train: { ...train, precision } };
}

/** Returns the bytes of a step's slots: activations, their gradients and statistics. */
function slotBytes(name: PresetName, precision: TrainConfig["precision"]) {
  const { model, train } = trainingIn(name, precision);
  const shape = { B: train.batchSize, T: model.blockSize };
  return stepPlan(model, train, shape).buffers
    .filter(({ kind }) => kind === "slot")
    .reduce((sum, { length }) => sum + 4 * length, 0);
}

for (const name of Object.keys(presets) as PresetName[]) {
  const [f32, f16] = precisions.map((precision) => slotBytes(name, precision));
  const [before, after] = [f32!, f16!].map((bytes) => (bytes / 1e6).toFixed(1));
  console.log(`${name}: slots ${before} MB, f16 ${after} MB, ${f16! / f32!}`);
}

const text = operands.length === 0
  ? ""
  : (await loadDataset("tinyshakespeare")).text;

/** Trains for some steps, and returns the loss of each. */
async function lossesIn(
  name: PresetName,
  precision: TrainConfig["precision"],
): Promise<number[]> {
  const { model: config, train } = trainingIn(name, precision);
  const ids = Tokenizer
    [presets[name].tokenizer === "ascii" ? "ascii" : "chars"](text).encode(
      text,
    );
  await using backend = await openWebGpu({ adapter: "any" });
  await using model = await Model.create(config, { backend, seed: 1 });
  const { batchSize } = train;
  const { blockSize } = config;
  const dataset = new Dataset(ids, { blockSize, batchSize, seed: 1 });
  const maxSteps = Number(flags.steps);
  const losses: number[] = [];
  const options = { ...train, maxSteps, evalInterval: 0 };
  for await (const event of new Trainer(model, dataset, options).run()) {
    if (event.kind === "step") losses.push(event.loss);
  }
  return losses;
}

for (const name of operands as PresetName[]) {
  const losses = await Promise.all(
    precisions.map((precision) => lossesIn(name, precision)),
  );
  const [f32, f16] = losses as [number[], number[]];
  for (const i of f32.keys()) {
    const step = i + 1;
    if (step > 1 && step < f32.length && step % 50 !== 0) continue;
    console.log(`${name}, step ${step}: ${f32[i]}, f16 ${f16[i]}`);
  }
  const most = Math.max(...f32.map((loss, i) => Math.abs(loss - f16[i]!)));
  console.log(`${name}: losses differ by ${most} at most`);

  await using backend = await openWebGpu({ adapter: "any" });
  const works = await Promise.all(precisions.map(async (precision) => {
    const work = await RandomSteps.open(backend, trainingIn(name, precision));
    const program = await work.compile();
    work.fill(program);
    return { work, program, times: [] as number[] };
  }));
  for (let round = 0; round <= Number(flags.rounds); round++) {
    for (const { work, program, times } of works) {
      const begun = performance.now();
      for (let step = 0; step < 3; step++) {
        work.begin(program);
        program.run();
        await backend.finish();
      }
      if (round > 0) times.push((performance.now() - begun) / 3);
    }
  }
  const [plain, half] = works.map(({ times }) => median(times));
  const ratios = works[0]!.times.map((ms, i) => works[1]!.times[i]! / ms);
  console.log(
    `${name}: ${plain} ms a step, f16 ${half} ms; ${
      median(ratios)
    } times as long, median of turns`,
  );
  for (const { work } of works) await work[Symbol.asyncDispose]();
}
