/**
 * Times a training step with a large vocabulary, its loss whole and in chunks of rows, in turns; and the memory of
 * both. Then trains a few steps with evaluation and checkpoint, and prints this process's memory.
 *
 *     deno run -A bench/vocabulary.ts [--vocab 50257] [--width 64] [--batch 8] [--device wasm]
 *       [--threads N] [--blas auto|off] [--rounds 7] [--train]
 *
 * Beside the time of the clock stands that of the processor, which other programs disturb less.
 * With `--train` it only trains, so that the memory is that of a training.
 */

import { cpuUsage } from "node:process";
import type { Executor, Program } from "../lib/backends/backend.ts";
import { type Device, openBackend } from "../lib/backends/open.ts";
import { randomIds } from "../lib/checks/variants.ts";
import { modelConfig } from "../lib/config/model.ts";
import { trainConfig } from "../lib/config/train.ts";
import { MOST_LOGITS } from "../lib/graph/chunks.ts";
import { Model } from "../lib/model/model.ts";
import { Dataset } from "../lib/text/dataset.ts";
import { trainPlan } from "../lib/train/plan.ts";
import { Trainer } from "../lib/train/trainer.ts";
import { readFlags } from "../tools/flags.ts";
import { median } from "../tools/soak/trend.ts";

const { flags } = readFlags({
  ...{ vocab: "50257", width: "64", batch: "8", device: "wasm", blas: "auto" },
  ...{ rounds: "7", train: false as const, threads: undefined },
});
const [B, T] = [Number(flags.batch), 128];
const config = modelConfig({
  ...{ vocabSize: Number(flags.vocab), blockSize: T },
  ...{ nEmbd: Number(flags.width), nLayer: 2, nHead: 4, tiedHead: true },
});
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

await using backend = await openBackend(flags.device as Device, {
  blas: flags.blas,
  threads: flags.threads === undefined ? undefined : Number(flags.threads),
}) as Executor;
console.log(
  `${backend.description}; ${flags.vocab} tokens, C ${flags.width}, batches of ${B}x${T}`,
);
await (flags.train ? train() : compare());

async function compare(): Promise<void> {
  const programs = new Map<
    string,
    { program: Program; ms: number[]; cpuMs: number[] }
  >();
  for (const mostLogits of [Infinity, MOST_LOGITS]) {
    const plan = trainPlan(config, trainConfig(), { B, T, mostLogits });
    const chunks = plan.dispatches
      .filter(({ kernel }) => kernel === "crossEntropy").length;
    const name = chunks === 1 ? "whole" : `in ${chunks} chunks`;
    console.log(`${name}: ${megabytes(backend.measure([plan]))} in all`);
    const program = await backend.compile(plan, new Map());
    program.buffer("tokens").write(randomIds(B * T, config));
    program.buffer("targets").write(randomIds(B * T, { ...config, seed: 2 }));
    program.buffer("schedule").write([1e-4, 0.1, 0.1]);
    programs.set(name, { program, ms: [], cpuMs: [] });
  }
  for (let round = 0; round <= Number(flags.rounds); round++) {
    for (const { program, ms, cpuMs } of programs.values()) {
      const [begun, cpuBegun] = [performance.now(), cpuUsage()];
      program.run();
      await backend.finish();
      if (round === 0) continue;
      ms.push(performance.now() - begun);
      const { user, system } = cpuUsage(cpuBegun);
      cpuMs.push((user + system) / 1000);
    }
  }
  for (const [name, { ms, cpuMs }] of programs) {
    const cpu = `${median(cpuMs).toFixed(0)} ms of the processor`;
    console.log(`${name}: ${median(ms).toFixed(0)} ms a step, ${cpu}`);
  }
}

async function train(): Promise<void> {
  const dataset = new Dataset(randomIds(200_000, config), {
    ...{ blockSize: T, batchSize: B, seed: 1 },
  });
  await using model = await Model.create(config, { backend, seed: 1 });
  const options = { maxSteps: 6, evalTokens: 4096, trainEvalBatches: 2 };
  for await (const event of new Trainer(model, dataset, options).run()) {
    if (event.kind === "step") continue;
    const { rss } = Deno.memoryUsage();
    console.log(
      `${event.kind}: ${megabytes(rss)}, of which ${
        megabytes(backend.allocatedBytes)
      } of the engine`,
    );
  }
}
