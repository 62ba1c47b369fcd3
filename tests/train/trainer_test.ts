/** The arguments of a Trainer, and the state in which it leaves its model. Training itself is tested in `model_training.ts`. */

import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { DeviceLostError } from "../../lib/backends/backend.ts";
import { decodeCheckpoint } from "../../lib/formats/checkpoint.ts";
import type { ModelOptions } from "../../lib/config/model.ts";
import { type Batch, Dataset } from "../../lib/text/dataset.ts";
import type { TrainEvent } from "../../lib/train/events.ts";
import { Model } from "../../lib/model/model.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
} from "../../lib/formats/safetensors.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { openFaulty } from "../fixtures/faulty_backend.ts";

const text = "to be or not to be, that is the question. ".repeat(9);
const tokenizer = Tokenizer.chars(text);
const { vocabSize } = tokenizer;
const dataset = new Dataset(tokenizer.encode(text), {
  blockSize: 6,
  batchSize: 2,
});

const options: ModelOptions = {
  vocabSize,
  blockSize: 6,
  nLayer: 1,
  nHead: 1,
  nEmbd: 4,
};

function createModel(): Promise<Model> {
  return Model.create(options, { device: "reference", seed: 2 });
}

async function losses(trainer: Trainer): Promise<number[]> {
  const events: TrainEvent[] = await Array.fromAsync(trainer.run());
  return events.filter((event) => event.kind === "step")
    .map(({ loss }) => loss);
}

Deno.test("Trainer refuses a model, dataset and options that do not fit each other, before it begins", async () => {
  await using model = await createModel();
  const other = (blockSize: number, token: number) =>
    new Dataset(new Int32Array(99).fill(token), { blockSize, batchSize: 2 });
  const create = (
    options: ConstructorParameters<typeof Trainer>[2],
    data = dataset,
  ) =>
  () => new Trainer(model, data, options);
  const recipe = { prompt: "t" };
  assertThrows(create({ batchSize: 3 }), RangeError, "batchSize (3) is not");
  assertThrows(
    create({}, other(7, 0)),
    RangeError,
    "(7) is above the model's",
  );
  assertThrows(
    create({}, other(6, vocabSize)),
    RangeError,
    `has token ${vocabSize}, the model's vocabSize is ${vocabSize}`,
  );
  assertThrows(
    create({ tokenizer: Tokenizer.bytes() }),
    RangeError,
    `the tokenizer has 256 tokens, the model ${vocabSize}`,
  );
  assertThrows(create({ sample: recipe }), TypeError, "need a tokenizer");
  assertThrows(create({ trainEvalBatches: 0 }), RangeError, "Batches (0)");
  assertThrows(create({ charsPerToken: 0 }), RangeError, "PerToken (0)");
  assertThrows(create({ evalTokens: 0.5 }), RangeError, "evalTokens (0.5)");
  create({ tokenizer, sample: recipe, trainEvalBatches: 1 })();
});

Deno.test("Trainer has a seed for dropout; model and dataset have their own", async () => {
  const trained = async (
    { dropout = 0.5, weights = 1, batches = 1, seed = 1 },
  ): Promise<number[]> => {
    const where = { device: "reference", seed: weights } as const;
    await using model = await Model.create({ ...options, dropout }, where);
    const data = new Dataset(tokenizer.encode(text), {
      ...{ blockSize: 6, batchSize: 2, seed: batches },
    });
    return await losses(new Trainer(model, data, { maxSteps: 3, seed }));
  };
  const first = await trained({});
  assertEquals(await trained({}), first);
  assertNotEquals(await trained({ seed: 2 }), first);
  assertNotEquals(await trained({ weights: 2 }), first);
  assertNotEquals(await trained({ batches: 2 }), first);
  assertEquals(
    await trained({ dropout: 0, seed: 2 }),
    await trained({ dropout: 0, seed: 1 }),
  );
});

Deno.test("Trainer emits each step's learning rate, after a restore too", async () => {
  const schedule = {
    ...{ learningRate: 0.3, minLearningRate: 0.05, maxSteps: 7 },
    ...{ warmupSteps: 2, decaySteps: 6, schedule: "linear" as const },
  };
  const expected = [0.1, 0.2, 0.3, 0.2375, 0.175, 0.1125, 0.05];
  const written: number[] = [];
  await using backend = openFaulty({
    write: (name, data) => {
      if (name === "schedule") written.push(data[0]!);
      return data;
    },
  });
  await using model = await Model.create(options, { backend });
  const run = async (trainer: Trainer) => {
    const told: [number, number][] = [];
    for await (const event of trainer.run()) {
      if (event.kind !== "step") continue;
      told.push([event.step, Number(event.learningRate.toFixed(12))]);
      if (event.step === 3) trainer.stop({ evaluate: false });
    }
    return told;
  };
  const first = new Trainer(model, dataset, schedule);
  const told = await run(first);
  const next = new Trainer(model, dataset, schedule);
  await next.restore(decodeCheckpoint(await first.save()));
  told.push(...await run(next));
  assertEquals(told, expected.map((rate, i) => [i + 1, rate]));
  assertEquals(written.map((rate) => Number(rate.toFixed(12))), expected);
});

Deno.test("Trainer refuses a batch of another shape than its dataset's", async () => {
  class Turned extends Dataset {
    override batch(step: number, microStep?: number): Batch {
      const { B, T, ...batch } = super.batch(step, microStep);
      return { ...batch, B: T, T: B };
    }
  }
  await using model = await createModel();
  const { blockSize, batchSize } = dataset;
  const turned = new Turned(tokenizer.encode(text), { blockSize, batchSize });
  await assertRejects(
    () => losses(new Trainer(model, turned, { maxSteps: 1 })),
    RangeError,
    "the batch is (6, 2), its dataset's are (2, 6)",
  );
});

Deno.test("Trainer throws the error of a lost device, after emitting the earlier checkpoints", async () => {
  let written = 0;
  await using backend = openFaulty({
    write: (name, data) => {
      if (name === "schedule" && ++written > 7) {
        throw new DeviceLostError("Cannot write schedule: it was unplugged");
      }
      return data;
    },
  });
  await using model = await Model.create(options, { backend });
  const trainer = new Trainer(model, dataset, {
    maxSteps: 20,
    checkpointInterval: 5,
  });
  const checkpoints: Uint8Array[] = [];
  await assertRejects(
    async () => {
      for await (const event of trainer.run()) {
        if (event.kind === "checkpoint") checkpoints.push(event.bytes);
      }
    },
    DeviceLostError,
    "unplugged",
  );
  const steps = checkpoints.map((bytes) =>
    decodeCheckpoint(bytes).training?.step
  );
  assertEquals(steps, [5]);
});

Deno.test("Trainer.stop emits the same final events as the end of training", async () => {
  await using model = await createModel();
  const trainer = new Trainer(model, dataset, {
    ...{ maxSteps: 50, evalInterval: 4, checkpointInterval: 4, tokenizer },
    sample: { prompt: "t", maxNewTokens: 3 },
  });
  const told: [string, number][] = [];
  for await (const event of trainer.run()) {
    told.push([event.kind, event.step]);
    // The device may be a few steps ahead of what is told.
    if (event.kind === "step" && event.step === 6) trainer.stop();
  }
  const last = trainer.step;
  assert(last >= 6 && last < 50);
  assertEquals(told.slice(-4), [
    ...["checkpoint", "eval", "sample", "end"].map((
      event,
    ): [string, number] => [event, last]),
  ]);
  assertEquals(decodeCheckpoint(await trainer.save()).training?.step, last);
});

Deno.test("Trainer emits nothing twice when it stops at a due step", async () => {
  await using model = await createModel();
  const options = { maxSteps: 50, evalInterval: 4, checkpointInterval: 4 };
  const trainer = new Trainer(model, dataset, options);
  const told: string[] = [];
  for await (const event of trainer.run()) {
    if (event.step === 8) told.push(event.kind);
    if (event.kind === "eval" && event.step === 8) trainer.stop();
  }
  assertEquals(told, ["step", "checkpoint", "eval", "end"]);
});

Deno.test("Trainer begins with a step, also when restored to its beginning", async () => {
  await using model = await createModel();
  const first = new Trainer(model, dataset, { maxSteps: 2, tokenizer });
  const next = new Trainer(model, dataset, { maxSteps: 2, tokenizer });
  await next.restore(decodeCheckpoint(await first.save()));
  const told = await Array.fromAsync(next.run());
  assertEquals(told.map(({ kind, step }) => [kind, step]).slice(0, 2), [
    ["step", 1],
    ["step", 2],
  ]);
});

Deno.test("Trainer begins without the moments of an earlier one", async () => {
  await using model = await createModel();
  await losses(new Trainer(model, dataset, { maxSteps: 9 }));
  const weights = decodeCheckpoint(await model.save());
  const again = await losses(new Trainer(model, dataset, { maxSteps: 5 }));
  await using loaded = await Model.load(weights, { device: "reference" });
  const fresh = await losses(new Trainer(loaded, dataset, { maxSteps: 5 }));
  assertEquals(again, fresh);
});

Deno.test("Trainer saves the state after one step, even while training continues", async () => {
  await using model = await createModel();
  const trainer = new Trainer(model, dataset, { maxSteps: 40 });
  let saving: Promise<Uint8Array> | undefined;
  for await (const event of trainer.run()) {
    if (event.kind === "step" && event.step === 10) saving = trainer.save();
  }
  const checkpoint = decodeCheckpoint(await saving!);
  assert(checkpoint.training!.step < 40);
  await using resumed = await Model.load(checkpoint, { device: "reference" });
  const rest = new Trainer(resumed, dataset, { maxSteps: 40 });
  await rest.restore(checkpoint);
  await losses(rest);
  assertEquals(await rest.save(), await trainer.save());
});

Deno.test("Trainer restores a checkpoint completely or not at all", async () => {
  await using model = await createModel();
  const trainer = new Trainer(model, dataset, { maxSteps: 3 });
  const before = await trainer.save();
  await losses(trainer);
  const { tensors, ...rest } = decodeCheckpoint(await trainer.save());
  const partial = new Map(tensors);
  partial.delete("optimizer.v.wte.weight");

  await using other = await createModel();
  const restored = new Trainer(other, dataset, { maxSteps: 3 });
  await assertRejects(
    () => restored.restore({ ...rest, tensors: partial }),
    RangeError,
    "optimizer.v.wte.weight",
  );
  await assertRejects(
    () => restored.restore({ ...rest, tensors, training: undefined }),
    RangeError,
    "the checkpoint has weights only",
  );
  for (const optimizer of ["muon", "sgd"] as const) {
    const config = { ...rest.training!.config, optimizer };
    const training = { ...rest.training!, config };
    await assertRejects(
      () => restored.restore({ ...rest, tensors, training }),
      RangeError,
      `with optimizer ${optimizer}, this training has adamw`,
    );
  }
  assertEquals(await restored.save(), before);
});

Deno.test("Trainer resumes from a file written when AdamW was the only optimizer, bit for bit", async () => {
  await using model = await createModel();
  const trainer = new Trainer(model, dataset, { maxSteps: 8 });
  for await (const event of trainer.run()) {
    if (event.kind === "step" && event.step === 4) break;
  }
  const saved = await trainer.save();
  await using restarted = await createModel();
  const { tensors, metadata } = decodeSafetensors(saved);
  // Such a file names moments after AdamW, and knows none of the newer fields.
  const former = new Map(
    [...tensors].map((
      [name, tensor],
    ) => [name.replace(/^optimizer\./, "adamw."), tensor]),
  );
  assert(former.has("adamw.v.wte.weight"));
  assert(delete metadata["digest"]);
  const training = JSON.parse(metadata["training"]!);
  for (const field of ["optimizer", "muonLearningRate", "momentum"]) {
    assert(delete training.config[field]);
  }
  const bytes = encodeSafetensors(former, {
    ...metadata,
    training: JSON.stringify(training),
  });
  const checkpoint = decodeCheckpoint(bytes);
  const rest = new Trainer(restarted, dataset, checkpoint.training!.config);
  await rest.restore(checkpoint);
  assertEquals(await losses(rest), await losses(trainer));
  assertEquals(await rest.save(), await trainer.save());
});

Deno.test("Trainer's signal also ends a sample that is being generated", async () => {
  await using model = await createModel();
  const controller = new AbortController();
  let drawn = 0;
  const endless = {
    prompt: "to",
    maxNewTokens: 1e9,
    // Asked for at each slide of the window, every few tokens.
    onSlide: () => ++drawn === 3 && controller.abort(),
  };
  const trainer = new Trainer(model, dataset, {
    maxSteps: 2,
    sampleInterval: 1,
    tokenizer,
    sample: endless,
  });
  const events: TrainEvent[] = await Array.fromAsync(
    trainer.run({ signal: controller.signal }),
  );
  assertEquals(
    events.map(({ kind }) => kind),
    ["step", "sample", "checkpoint", "end"],
  );
});
