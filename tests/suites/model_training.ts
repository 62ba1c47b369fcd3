/**
 * Training of whole models: that it is repeatable to the bit, also across a stop, and
 * what dropout, accumulation and clipping do to it.
 */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertLess,
  assertNotEquals,
} from "@std/assert";
import type { Backend, Numbers } from "../../lib/backends/backend.ts";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import { modelConfig, type ModelOptions } from "../../lib/config/model.ts";
import { type TrainConfig, trainConfig } from "../../lib/config/train.ts";
import { Dataset } from "../../lib/text/dataset.ts";
import type { StepEvent } from "../../lib/train/events.ts";
import { Model } from "../../lib/model/model.ts";
import { cutPlan, PartRunner } from "../../lib/model/parts.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { type Bench, benchTest } from "./model_bench.ts";
import { randomIds, variant } from "../../lib/checks/variants.ts";
import { internalsOf } from "../../lib/model/internals.ts";

/** Vocabulary and context of the models. */
export const V = 7;
export const T = 6;

/** Registers the tests on a backend. */
export function registerTraining(bench: Bench): void {
  for (const name of ["the defaults", "all at once", "Qwen 3"]) {
    benchTest(
      bench,
      `50 steps from one seed give the same bits twice: ${name}`,
      async (backend) => {
        const { config } = variant(name);
        const run = async (seed: number) => {
          await using model = await Model.create(config, { backend, seed });
          const trainer = new Trainer(model, dataset(), training({ seed }));
          const losses = await lossesOf(trainer);
          assertEquals(losses.length, 50);
          return { losses, state: await stateOf(model) };
        };
        const first = await run(1);
        assertEquals(await run(1), first);
        assertNotEquals((await run(2)).losses, first.losses);
        // It does learn: the text is not random.
        const mean = (losses: number[]) =>
          losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
        assertLess(
          mean(first.losses.slice(40)),
          mean(first.losses.slice(0, 5)),
        );
      },
    );
  }

  for (
    const [optimizer, name] of [
      ["adamw", "all at once"],
      ["muon", "all at once"],
      ["sgd", "all at once"],
      ["muon", "Qwen 3"],
    ] as const
  ) {
    benchTest(
      bench,
      `stopped, saved, loaded and resumed gives the bits of an uninterrupted run: ${optimizer}, ${name}`,
      async (backend) => {
        const { config } = variant(name);
        const options = training({
          optimizer,
          gradAccumulation: 2,
          checkpointInterval: 20,
        });
        await using whole = await Model.create(config, { backend, seed: 3 });
        let saved: Uint8Array | undefined;
        const uninterrupted = new Trainer(whole, dataset(), options);
        for await (const event of uninterrupted.run()) {
          if (event.kind === "checkpoint" && event.step === 20) {
            saved = event.bytes;
          }
        }
        const checkpoint = decodeCheckpoint(saved!);
        await using resumed = await Model.load(checkpoint, { backend });
        const trainer = new Trainer(resumed, dataset(), options);
        await trainer.restore(checkpoint);
        assertEquals(trainer.step, 20);
        assertEquals((await lossesOf(trainer)).length, 30);
        assertEquals(await stateOf(resumed), await stateOf(whole));
      },
    );
  }

  benchTest(
    bench,
    "a signal stops after a whole step, and from there it goes on as if it had not",
    async (backend) => {
      const { config } = variant("dropout");
      await using whole = await Model.create(config, { backend, seed: 3 });
      await lossesOf(new Trainer(whole, dataset(), training()));
      await using stopped = await Model.create(config, { backend, seed: 3 });
      const controller = new AbortController();
      const { signal } = controller;
      const trainer = new Trainer(stopped, dataset(), training());
      let [saved, last]: [Uint8Array, string] = [new Uint8Array(), ""];
      for await (const event of trainer.run({ signal })) {
        if (event.kind === "step" && event.step === 7) controller.abort();
        if (event.kind === "checkpoint") saved = event.bytes;
        if (event.kind === "end") last = event.reason;
      }
      assertEquals(last, "aborted");
      assertLess(trainer.step, 50);
      const checkpoint = decodeCheckpoint(saved);
      assertEquals(checkpoint.training?.step, trainer.step);
      await using resumed = await Model.load(checkpoint, { backend });
      const next = new Trainer(resumed, dataset(), training());
      await next.restore(checkpoint);
      await lossesOf(next);
      assertEquals(await stateOf(resumed), await stateOf(whole));
    },
  );

  benchTest(
    bench,
    "a step cut into parts has the same bits, and one that is left changes no weight",
    async (backend) => {
      const { config } = variant("dropout");
      const data = dataset();
      const { B, T, tokens, targets } = data.batch(0);
      const inputs = { tokens, targets, key: [1, 0, 0, 0] };
      const gradient = async (parts: number, isOver = () => false) => {
        await using model = await Model.create(config, { backend, seed: 3 });
        const before = await internalsOf(model).stores.get("params")!.read();
        const whole = trainPlan(config, trainConfig(training()), { B, T });
        const plan = cutPlan(whole, "gradient", parts * 2 ** 31);
        assertEquals(
          Object.keys(plan.phases).length,
          2 + (parts > 1 ? parts : 0),
        );
        const program = await internalsOf(model).compile(plan);
        for (const [name, values] of Object.entries(inputs)) {
          program.buffer(name).write(values);
        }
        program.buffer("schedule").write([0.1, 1, 1]);
        program.buffer("loss").write([0]);
        const runner = new PartRunner(program, backend, "gradient");
        // A device that works by itself is waited for after slow steps alone.
        const done = await runner.run({
          isOver,
          lastMs: 1e4,
          after: ["update"],
        });
        const after = await internalsOf(model).stores.get("params")!.read();
        return { done, before, after };
      };
      const whole = await gradient(1);
      assertEquals(await gradient(7), whole);
      assert(whole.done);
      let asked = 0;
      const left = await gradient(7, () => ++asked === 3);
      assertEquals([left.done, asked], [false, 3]);
      assertEquals(left.after, left.before);
    },
  );

  benchTest(
    bench,
    "a signal between micro-batches leaves nothing of their step",
    async (backend) => {
      const { config } = variant("dropout");
      const options = training({ gradAccumulation: 4, maxSteps: 9 });
      await using whole = await Model.create(config, { backend, seed: 3 });
      const losses = await lossesOf(new Trainer(whole, dataset(), options));
      await using stopped = await Model.create(config, { backend, seed: 3 });
      const controller = new AbortController();
      const data = dataset();
      const { batch } = data;
      data.batch = (step, micro) => {
        if (step === 5 && micro === 1) controller.abort();
        return batch.call(data, step, micro);
      };
      const trainer = new Trainer(stopped, data, options);
      await Array.fromAsync(trainer.run({ signal: controller.signal }));
      assertEquals(trainer.step, 5);
      assertEquals(await lossesOf(trainer), losses.slice(5));
      assertEquals(await stateOf(stopped), await stateOf(whole));
    },
  );

  benchTest(
    bench,
    "dropout zeroes its share and scales the rest, in training alone",
    checkDropout,
  );

  benchTest(
    bench,
    "dropout's masks follow from seed and counter",
    async (backend) => {
      await using model = await Model.create(
        { ...variant("dropout").config, init: "torch" },
        { backend },
      );
      const logits = (key: number[]) => trainLogits(model, key);
      const first = await logits([1, 0, 0, 0]);
      assertEquals(await logits([1, 0, 0, 0]), first);
      assertNotEquals(await logits([1, 1, 0, 0]), first);
      assertNotEquals(await logits([2, 0, 0, 0]), first);
      const evaluated = await model.forward(ids(), { B: 2, T });
      assertEquals(await model.forward(ids(), { B: 2, T }), evaluated);
      assertNotEquals(first, evaluated);
    },
  );

  benchTest(
    bench,
    "two half batches accumulated are one whole batch",
    async (backend) => {
      const { config } = variant("the defaults");
      const run = async (batchSize: number, gradAccumulation: number) => {
        await using model = await Model.create(config, { backend });
        const options = training({ batchSize, gradAccumulation, maxSteps: 5 });
        return await stepsOf(new Trainer(model, dataset(batchSize), options));
      };
      const whole = await run(4, 1);
      const halves = await run(2, 2);
      for (const [i, { loss, gradNorm }] of whole.entries()) {
        // Only the order of summation differs.
        assertAlmostEquals(halves[i]!.loss, loss, bench.tolerance);
        assertAlmostEquals(halves[i]!.gradNorm, gradNorm, bench.tolerance);
      }
    },
  );

  benchTest(
    bench,
    "the gradient norm that is told is the one before clipping",
    async (backend) => {
      const run = async (gradClip: number) => {
        await using model = await Model.create(variant("the defaults").config, {
          backend,
        });
        const options = training({ gradClip, maxSteps: 3, learningRate: 0.1 });
        const steps = await stepsOf(new Trainer(model, dataset(), options));
        return steps.map(({ gradNorm }) => gradNorm);
      };
      const free = await run(0);
      const clipped = await run(1e-7);
      assertGreater(free[0]!, 1e-3);
      assertEquals(clipped[0], free[0]);
      // A gradient clipped to AdamW's eps and below moves hardly anything.
      assert(Math.abs(clipped[2]! - free[2]!) > 1e-3);
    },
  );

  benchTest(
    bench,
    "training takes no more memory from its second evaluation on",
    async (backend) => {
      await using model = await Model.create(variant("dropout").config, {
        backend,
      });
      const options = training({ evalInterval: 5, checkpointInterval: 10 });
      const bytes: number[] = [];
      for await (
        const { kind } of new Trainer(model, dataset(), options).run()
      ) {
        if (kind === "eval") bytes.push(backend.allocatedBytes);
      }
      assertEquals(bytes.length, 10);
      assertEquals(new Set(bytes.slice(1)).size, 1, `${bytes}`);
    },
  );
}

/** Text of a simple rule with some noise, so that there is something to learn. */
export function dataset(batchSize = 4): Dataset {
  const noise = randomIds(400, { vocabSize: 3 });
  const text = noise.map((x, i) => (i * 2 + (x === 0 ? 1 : 0)) % V);
  return new Dataset(text, { blockSize: T, batchSize, seed: 5 });
}

/** How the models are trained. */
export function training(
  options: Partial<TrainConfig> = {},
): Partial<TrainConfig> {
  const schedule = { schedule: "cosine", warmupSteps: 5 } as const;
  return { maxSteps: 50, learningRate: 1e-2, ...schedule, ...options };
}

async function stepsOf(trainer: Trainer): Promise<StepEvent[]> {
  const steps: StepEvent[] = [];
  for await (const event of trainer.run()) {
    if (event.kind === "step") steps.push(event);
  }
  return steps;
}

/** The loss of every step. */
export async function lossesOf(trainer: Trainer): Promise<number[]> {
  return (await stepsOf(trainer)).map(({ loss }) => loss);
}

/** Everything that training changes. */
export async function stateOf(model: Model): Promise<Record<string, Numbers>> {
  const state: Record<string, Numbers> = {};
  for (const name of ["params", "m", "v"]) {
    const store = internalsOf(model).stores.get(name);
    if (store !== undefined) state[name] = await store.read();
  }
  return state;
}

function ids(seed = 1): Int32Array {
  return randomIds(2 * T, { vocabSize: V, seed });
}

/** Logits of the train plan's forward pass with a key. */
async function trainLogits(
  model: Model,
  key: readonly number[],
  { B, T: length, tokens }: { B: number; T: number; tokens: Int32Array } = {
    ...{ B: 2, T, tokens: ids() },
  },
): Promise<Numbers> {
  const shape = { B, T: length, logits: true };
  const plan = trainPlan(model.config, trainConfig(), shape);
  const program = await internalsOf(model).executor.compile(
    plan,
    internalsOf(model).stores,
  );
  program.buffer("tokens").write(tokens);
  program.buffer("targets").write(tokens);
  program.buffer("key").write(key);
  program.run(["gradient"]);
  const logits = await program.buffer("logits").read();
  program.destroy();
  return logits;
}

/**
 * A network that is nothing but its embedding: the MLP adds 0 and the head is the
 * identity, so that logits are the embedding after dropout.
 */
async function checkDropout(backend: Backend): Promise<void> {
  const C = 16;
  const rate = 0.3;
  const options: ModelOptions = {
    ...{ vocabSize: C, blockSize: 32, nLayer: 1, nHead: 1, nEmbd: C },
    ...{ attention: false, norm: "none", mlp: "relu", dropout: rate },
    ...{ bias: false, headBias: false, init: "torch" },
  };
  const config = modelConfig(options);
  await using model = await Model.create(config, { backend });
  const tensors = await model.parameters();
  tensors.get("h.0.mlp.c_proj.weight")!.data.fill(0 as never);
  const head = tensors.get("lm_head.weight")!.data;
  for (let i = 0; i < head.length; i++) head[i] = i % (C + 1) === 0 ? 1 : 0;
  model.setParameters(tensors);
  const shape = { B: 8, T: 32, tokens: randomIds(8 * 32, { vocabSize: C }) };
  const plain = await model.forward(shape.tokens, shape);
  const dropped = await trainLogits(model, [9, 4, 0, 0], shape);
  let zeros = 0;
  dropped.forEach((logit, i) => {
    if (logit === 0) zeros++;
    // Float32 rounds the quotient.
    else assertAlmostEquals(logit, plain[i]! / (1 - rate), 1e-5);
  });
  const n = plain.length;
  // Five standard deviations of a binomial count.
  const slack = 5 * Math.sqrt(n * rate * (1 - rate));
  assertAlmostEquals(zeros, n * rate, slack);
  assert(plain.every((logit) => logit !== 0));
}
