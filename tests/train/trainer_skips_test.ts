/** Steps that are not finite: which are left out, and when training gives up. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { ModelOptions } from "../../lib/config/model.ts";
import { type Batch, Dataset } from "../../lib/text/dataset.ts";
import { Model } from "../../lib/model/model.ts";
import { NonFiniteError } from "../../lib/train/metrics.ts";
import { internalsOf } from "../../lib/model/internals.ts";
import { Trainer } from "../../lib/train/trainer.ts";

const vocabSize = 16;
const options: ModelOptions = {
  vocabSize,
  blockSize: 6,
  nLayer: 1,
  nHead: 1,
  nEmbd: 4,
};

/** A model in which one token's embedding is not a number, and a text that has it everywhere or only once. */
async function poisoned(everywhere: boolean) {
  const model = await Model.create(options, { device: "reference", seed: 2 });
  const rare = vocabSize - 1;
  const text = Int32Array.from(
    { length: 100 },
    (_, i) => (everywhere ? i % 3 === 0 : i === 20) ? rare : i % rare,
  );
  const { offset } = internalsOf(model).layout.entries.find(({ name }) =>
    name === "wte.weight"
  )!;
  const place = offset + rare * model.config.nEmbd;
  const set = (value: number) =>
    internalsOf(model).stores.get("params")!.write([value], place);
  set(NaN);
  const data = new Dataset(text, { blockSize: 6, batchSize: 1, seed: 5 });
  return { model, data, rare, set };
}

Deno.test("Trainer skips a step that is not finite if onNonFinite is 'skip'", async () => {
  const { model, data, rare, set } = await poisoned(false);
  await using _model = model;
  let bad = 0;
  while (!data.batch(bad).tokens.includes(rare)) bad++;
  const trainer = new Trainer(model, data, {
    ...{ batchSize: 1, maxSteps: bad + 6, onNonFinite: "skip" },
    ...{ evalInterval: 0, checkpointInterval: 0 },
  });
  const told: string[] = [];
  for await (const event of trainer.run()) {
    if (event.kind === "skip") {
      assertStringIncludes(event.message, "the first not to be finite was");
      set(0); // or the weights could never be saved
    }
    told.push(`${event.kind} ${event.step}`);
  }
  assertEquals(told, [
    ...Array.from({ length: bad }, (_, i) => `step ${i + 1}`),
    `skip ${bad + 1}`,
    ...Array.from({ length: 5 }, (_, i) => `step ${bad + 2 + i}`),
    ...["checkpoint", "eval", "end"].map((event) => `${event} ${bad + 6}`),
  ]);
});

Deno.test("Trainer continues as long as there are finite steps between skipped ones", async () => {
  const { model, rare, set } = await poisoned(false);
  await using _model = model;
  class Alternating extends Dataset {
    override batch(step: number, microStep?: number): Batch {
      const batch = super.batch(step, microStep);
      return { ...batch, tokens: batch.tokens.fill(step % 2 ? rare : 0) };
    }
  }
  const data = new Alternating(new Int32Array(100), {
    ...{ blockSize: 6, batchSize: 1 },
  });
  const trainer = new Trainer(model, data, {
    ...{ batchSize: 1, maxSteps: 26, onNonFinite: "skip" },
    ...{ evalInterval: 0, checkpointInterval: 0 },
  });
  const skipped: number[] = [];
  for await (const event of trainer.run()) {
    if (event.kind !== "skip") continue;
    skipped.push(event.step);
    if (event.step === 24) set(0); // or the weights could never be saved
  }
  assertEquals(skipped, Array.from({ length: 12 }, (_, i) => 2 * i + 2));
  assertEquals(trainer.step, 26);
});

Deno.test("Trainer throws after ten consecutive steps that are not finite", async () => {
  const { model, data } = await poisoned(true);
  await using _model = model;
  const trainer = new Trainer(model, data, {
    ...{ batchSize: 1, maxSteps: 50, onNonFinite: "skip" },
  });
  const told: string[] = [];
  await assertRejects(
    async () => {
      for await (const { kind } of trainer.run()) told.push(kind);
    },
    NonFiniteError,
    "at step 10",
  );
  assertEquals(told, Array(9).fill("skip"));
});
