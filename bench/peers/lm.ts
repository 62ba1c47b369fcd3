/**
 * lm itself as a peer: commands on standard input, answers on standard output.
 *
 *     deno run -A bench/peers/lm.ts [--device wasm] [--threads 2]
 */

import { parseArgs } from "node:util";
import type { Executor } from "../../lib/backends/backend.ts";
import { type Device, openBackend } from "../../lib/backends/open.ts";
import { trainConfig } from "../../lib/config/train.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { Model } from "../../lib/model/model.ts";
import { METRIC_SLOTS, METRIC_WIDTH, scheduleAt } from "../../lib/train/optimizer.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { type PresetName, presets } from "../../lib/config/presets.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { plainProduct } from "../../kernels/vocabulary.ts";
import { Sampler } from "../../lib/text/sampler.ts";
import { BATCHES, checkParameters, type Product, serve } from "./protocol.ts";
import { internalsOf } from "../../lib/model/internals.ts";

const { values: flags } = parseArgs({
  args: Deno.args,
  options: {
    device: { type: "string", default: "wasm" },
    threads: { type: "string" },
  },
});
// The code expects an engine with options, also in versions that have none yet.
const open = openBackend as (
  device: Device,
  options?: { readonly threads?: number },
) => Promise<Executor>;
const backend = await open(
  flags.device as Device,
  flags.threads === undefined ? {} : { threads: Number(flags.threads) },
);

async function training(name: string) {
  const preset = presets[name as PresetName];
  const vocabSize = { ascii: 128, chars: 65, bytes: 256 }[preset.tokenizer];
  const model = await Model.create({ ...preset.model, vocabSize }, { backend });
  checkParameters(name, model.parameterCount);
  const train = trainConfig(preset.train);
  const { batchSize: B } = train;
  const T = model.config.blockSize;
  const plan = trainPlan(model.config, train, { B, T });
  const program = await internalsOf(model).compile(plan);
  const random = new CounterRandom(1, Purpose.batch);
  const batches = Array.from(
    { length: 2 * BATCHES },
    (_, stream) =>
      Int32Array.from(
        { length: B * T },
        (_, i) => random.below(vocabSize, stream, i),
      ),
  );
  let step = 0;
  return async (steps: number) => {
    for (let i = 0; i < steps; i++, step++) {
      const batch = 2 * (step % BATCHES);
      program.buffer("tokens").write(batches[batch]!);
      program.buffer("targets").write(batches[batch + 1]!);
      program.buffer("key").write([1, step, step % METRIC_SLOTS, 0]);
      program.buffer("schedule").write(scheduleAt(train, step));
      program.run();
    }
    // The buffer holds the loss of each step; the trainer reads it in the same way.
    const metrics = await program.buffer("metrics").read();
    return metrics[(step - 1) % METRIC_SLOTS * METRIC_WIDTH]!;
  };
}

async function generation(batch: number) {
  const options = { ...presets.original.model, vocabSize: 128 };
  const model = await Model.create(options, { backend });
  return async (tokens: number) => {
    const sampler = new Sampler({ temperature: 0.9, topK: 10, seed: 7 });
    const options = { sampler, maxNewTokens: tokens };
    let count = 0;
    if (batch === 1) {
      for await (const _ of model.generate([10], options)) count++;
    } else {
      const prompts = Array.from({ length: batch }, () => [10]);
      for await (const ids of model.generateBatch(prompts, options)) {
        count += ids.length;
      }
    }
    if (count !== batch * tokens) throw new Error(`${count} tokens`);
  };
}

function productPlan({ form, M, N, K }: Product): Plan {
  const lengths = { y: M * N, a: M * K, b: K * N };
  const whole = (buffer: number, length: number) => ({
    buffer,
    offset: 0,
    length,
  });
  return {
    name: "product",
    buffers: Object.entries(lengths).map(([name, length]) => ({
      name,
      kind: name === "y" ? "output" : "input",
      dtype: "f32",
      length,
    })),
    dispatches: [{
      kernel: "matmul",
      outputs: [whole(0, lengths.y)],
      inputs: [whole(1, lengths.a), whole(2, lengths.b)],
      dims: { ...plainProduct, form, M, N, K },
      label: "product",
    }],
    phases: { product: [0, 1] },
  };
}

async function product(shape: Product) {
  const program = await backend.compile(productPlan(shape), new Map());
  const random = new CounterRandom(1, Purpose.init);
  for (const [stream, name] of ["a", "b"].entries()) {
    const buffer = program.buffer(name);
    const { length } = buffer.spec;
    buffer.write(
      Float32Array.from({ length }, (_, i) => random.normal(stream, i)),
    );
  }
  return async (times: number) => {
    for (let i = 0; i < times; i++) program.run();
    await backend.finish();
  };
}

await serve(`lm, ${backend.description}`, { training, generation, product });
