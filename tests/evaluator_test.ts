/** Evaluation as a caller sees it. Whether losses are right is the recorded runs' question. */

import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import type { EvalBatch } from "../lib/dataset.ts";
import { Dataset } from "../lib/dataset.ts";
import { Model } from "../lib/language_model.ts";
import { makeGeneric, randomIds, variant } from "../lib/checks/variants.ts";

const { config } = variant("position learned");
const { vocabSize, blockSize: T } = config;

/** More batches than fit on the device at once. */
const dataset = new Dataset(randomIds(600, { vocabSize }), {
  blockSize: T,
  batchSize: 2,
});

async function genericModel(): Promise<Model> {
  const model = await Model.create(config, { device: "reference" });
  await makeGeneric(model);
  return model;
}

Deno.test("Model.evaluate is the mean over all targets, counted one by one", async () => {
  await using model = await genericModel();
  let [total, count] = [0, 0];
  for (const { tokens, targets } of dataset.evalBatches("train")) {
    const logits = await model.forward(tokens, { B: 2, T });
    targets.forEach((target, row) => {
      if (target === -1) return;
      const scores = logits.subarray(row * vocabSize, (row + 1) * vocabSize);
      let sum = 0;
      for (const score of scores) sum += Math.exp(score);
      total += Math.log(sum) - scores[target]!;
      count++;
    });
  }
  assertEquals(count, dataset.size("train") - 1);
  const loss = await model.evaluate(dataset.evalBatches("train"));
  // Float64's rounding in a sum of 539 terms of order 1.
  assertAlmostEquals(loss, total / count, 1e-12);
});

Deno.test("Model.evaluate gives the same when several passes are asked for at once", async () => {
  await using model = await genericModel();
  const tokens = randomIds(2 * T, { vocabSize });
  const all = [
    () => model.evaluate(dataset.evalBatches("train")),
    () => model.forward(tokens, { B: 2, T }),
    () => model.evaluate(dataset.evalBatches("val")),
  ];
  const apart = [];
  for (const pass of all) apart.push(await pass());
  assertEquals(await Promise.all(all.map((pass) => pass())), apart);
});

Deno.test("Model.evaluate that was refused or stopped does not hold up the next", async () => {
  await using model = await genericModel();
  const batches = () => dataset.evalBatches("val");
  const loss = await model.evaluate(batches());
  const reason = new Error("enough");
  const refused = [
    assertRejects(() => model.evaluate([]), RangeError, "have 0 targets"),
    assertRejects(
      () => model.evaluate(batches(), { signal: AbortSignal.abort(reason) }),
      Error,
      "enough",
    ),
  ];
  assertEquals(await model.evaluate(batches()), loss);
  await Promise.all(refused);
});

Deno.test("Model.evaluate refuses batches that do not fit the model", async () => {
  await using model = await genericModel();
  const [batch] = dataset.evalBatches("val");
  const refused = (change: Partial<EvalBatch>, message: string) =>
    assertRejects(
      () => model.evaluate([{ ...batch!, ...change }]),
      RangeError,
      message,
    );
  const ids = (length: number, last: number) =>
    new Int32Array(length).with(length - 1, last);
  await refused({ tokens: ids(2 * T, vocabSize) }, "token 7 is not from 0");
  await refused({ tokens: ids(2 * T + 1, 0) }, "tokens are not");
  await refused({ targets: ids(2 * T, vocabSize) }, "target 7 is neither -1");
  await refused({ targets: ids(2 * T, -2) }, "target -2 is neither -1");
  await refused({ targets: ids(T, 0) }, "6 targets are not 2 rows of 6");
});
