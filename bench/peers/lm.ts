/**
 * lm itself as a peer: commands on standard input, answers on standard output.
 *
 *     deno run -A bench/peers/lm.ts [--device wasm] [--threads 2] [--blas auto|off|PATH]
 */

import { type Device, openBackend } from "../../lib/backends/open.ts";
import { Model } from "../../lib/model/model.ts";
import { METRIC_SLOTS, METRIC_WIDTH } from "../../lib/train/optimizer.ts";
import { type PresetName, presets } from "../../lib/config/presets.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { Sampler } from "../../lib/text/sampler.ts";
import { BATCHES, checkParameters, type Product, serve } from "./protocol.ts";
import { executorOf } from "../../lib/backends/backend.ts";
import { readFlags } from "../../tools/flags.ts";
import { presetTraining, productPlan, RandomSteps } from "../../lib/checks/workloads.ts";

const { flags } = readFlags({
  ...{ device: "wasm", threads: undefined, blas: "auto" },
});
const backend = executorOf(
  await openBackend(flags.device as Device, {
    blas: flags.blas,
    ...(flags.threads !== undefined && { threads: Number(flags.threads) }),
  }),
);

async function training(name: string) {
  const work = await RandomSteps.open(backend, presetTraining(name as PresetName));
  checkParameters(name, work.model.parameterCount);
  const program = await work.compile();
  const batches = Array.from({ length: 2 * BATCHES }, (_, i) => work.ids(i));
  return async (steps: number) => {
    let step = 0;
    for (let i = 0; i < steps; i++) {
      step = work.begin(program);
      const batch = 2 * (step % BATCHES);
      program.buffer("tokens").write(batches[batch]!);
      program.buffer("targets").write(batches[batch + 1]!);
      program.run();
    }
    // The buffer holds the loss of each step; the trainer reads it in the same way.
    const metrics = await program.buffer("metrics").read();
    return metrics[step % METRIC_SLOTS * METRIC_WIDTH]!;
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
