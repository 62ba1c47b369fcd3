/**
 * Trains `nano-gpu` on tiny Shakespeare for 500 steps on WebGPU, and prints steps a second and both losses as
 * JSON; with --quick `tiny` for 20 steps on random tokens. A part of `bench/gpu.ts`.
 */

import { datasets } from "../../data/datasets.ts";
import { loadDataset } from "../../data/load.ts";
import { randomIds } from "../../lib/checks/variants.ts";
import { presetTraining } from "../../lib/checks/workloads.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { Model } from "../../lib/model/model.ts";
import { Dataset } from "../../lib/text/dataset.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { readFlags } from "../../tools/flags.ts";

const { flags } = readFlags({ quick: false as const });
const preset = flags.quick ? "tiny" : "nano-gpu";
const maxSteps = flags.quick ? 20 : 500;
const { model: config, train } = presetTraining(preset);

async function tokensOf(): Promise<ArrayLike<number>> {
  if (flags.quick) return randomIds(20_000, config);
  const { text } = await loadDataset(datasets.tinyshakespeare);
  return Tokenizer.chars(text).encode(text);
}

await using backend = await openWebGpu({ adapter: "any" });
const dataset = new Dataset(Int32Array.from(await tokensOf()), {
  ...{ blockSize: config.blockSize, batchSize: train.batchSize, seed: 1 },
});
await using model = await Model.create(config, { backend, seed: 1 });
const trainer = new Trainer(model, dataset, {
  ...train,
  ...{ maxSteps, evalInterval: maxSteps, checkpointInterval: 0 },
  ...{ sampleInterval: 0, evalTokens: flags.quick ? 1000 : 2 ** 17 },
});
const begun = performance.now();
let [stepsDone, stepsMs] = [0, 0];
let losses = {};
for await (const event of trainer.run()) {
  if (event.kind === "step") {
    stepsDone = event.step;
    stepsMs = performance.now() - begun;
  }
  if (event.kind === "eval") {
    losses = { trainLoss: event.trainLoss, valLoss: event.valLoss };
  }
}
const msPerStep = stepsMs / stepsDone;
const data = { preset, steps: stepsDone, msPerStep, ...losses };
console.log(JSON.stringify({
  data,
  lines: [
    `${preset}: ${stepsDone} steps, ${
      msPerStep.toFixed(2)
    } ms each with compiling; ${JSON.stringify(losses)}`,
  ],
}));
