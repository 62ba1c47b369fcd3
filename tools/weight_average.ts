/**
 * Measures whether averaging weights over the last steps helps: trains as docs/recipe/parts/plan.json's base does,
 * with its schedule and with a constant rate, and evaluates the last weights and exponential
 * moving averages of them, which are taken every tenth step.
 *
 *     deno run -A tools/weight_average.ts [--seeds 1,2,3] [--threads 1]
 */

import { loadDataset } from "../data/load.ts";
import { Dataset, Model, Tokenizer, Trainer } from "../mod.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../lib/formats/mod.ts";
import { internalsOf } from "../lib/model/internals.ts";
import { readFlags } from "./flags.ts";

const { flags } = readFlags({ seeds: "1,2,3", threads: "1" });
const threads = Number(flags.threads);
const { base } = JSON.parse(
  await Deno.readTextFile("docs/recipe/parts/plan.json"),
);
const { text } = await loadDataset("tinyshakespeare");
const tokenizer = Tokenizer.chars(text);
const tokens = tokenizer.encode(text);

/** Steps between two weights that are averaged. */
const STRIDE = 10;
/** Share of an average that remains after {@linkcode STRIDE} steps. */
const DECAYS = [0.5, 0.8, 0.9, 0.95];

for (const schedule of ["linear", "constant"] as const) {
  for (const seed of flags.seeds.split(",").map(Number)) {
    const losses = await lossesOf(schedule, seed);
    const columns = losses.map(([name, loss]) => `${name} ${loss.toFixed(4)}`);
    console.log(`${schedule}, seed ${seed}: ${columns.join(", ")}`);
  }
}

/** Trains, and returns the validation loss of the last weights and of each average of them. */
async function lossesOf(
  schedule: "linear" | "constant",
  seed: number,
): Promise<[name: string, loss: number][]> {
  const config = { ...base.model, vocabSize: tokenizer.vocabSize };
  const options = { device: "wasm", threads } as const;
  await using model = await Model.create(config, { ...options, seed });
  const { batchSize } = base.train;
  const { blockSize } = model.config;
  const dataset = new Dataset(tokens, { blockSize, batchSize, seed });
  const trainer = new Trainer(model, dataset, {
    ...{ ...base.train, schedule, seed },
    ...{ evalInterval: 0, sampleInterval: 0, checkpointInterval: STRIDE },
  });
  const averages = DECAYS.map(() => new Map<string, Float32Array>());
  let loss = NaN;
  for await (const event of trainer.run()) {
    if (event.kind === "eval") loss = event.valLoss;
    if (event.kind !== "checkpoint") continue;
    const { tensors } = decodeCheckpoint(event.bytes);
    for (const { name } of internalsOf(model).layout.entries) {
      const values = tensors.get(name)!.data as Float32Array;
      averages.forEach((average, i) => {
        const decay = DECAYS[i]!;
        const before = average.get(name) ?? values;
        average.set(
          name,
          values.map((value, k) => decay * before[k]! + (1 - decay) * value),
        );
      });
    }
  }
  const { tensors, ...rest } = decodeCheckpoint(await model.save());
  const evaluated: [string, number][] = [["last", loss]];
  for (const [i, average] of averages.entries()) {
    const averaged = new Map(tensors);
    for (const [name, data] of average) {
      const { shape } = tensors.get(name)!;
      averaged.set(name, { dtype: "F32", shape, data: new Float32Array(data) });
    }
    const bytes = encodeCheckpoint({ ...rest, tensors: averaged });
    await using other = await Model.load(decodeCheckpoint(bytes), options);
    const name = `decay ${DECAYS[i]! ** (1 / STRIDE)}`.slice(0, 12);
    evaluated.push([name, await other.evaluate(dataset.evalBatches("val"))]);
  }
  return evaluated;
}
