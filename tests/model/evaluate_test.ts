/** Evaluation as a caller sees it. Whether losses are right is the recorded runs' question. */

import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import type { EvalBatch } from "../../lib/text/dataset.ts";
import { Dataset } from "../../lib/text/dataset.ts";
import { Model } from "../../lib/model/model.ts";
import { makeGeneric, randomIds, variant } from "../../lib/checks/variants.ts";

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

/** The mean loss, from the logits of `Model.forward`. */
async function lossOneByOne(
  model: Model,
  batches: Iterable<EvalBatch>,
): Promise<{ loss: number; count: number }> {
  let [total, count] = [0, 0];
  for (const { B, T, tokens, targets } of batches) {
    const logits = await model.forward(tokens, { B, T });
    targets.forEach((target, row) => {
      if (target === -1) return;
      const scores = logits.subarray(row * vocabSize, (row + 1) * vocabSize);
      let sum = 0;
      for (const score of scores) sum += Math.exp(score);
      total += Math.log(sum) - scores[target]!;
      count++;
    });
  }
  return { loss: total / count, count };
}

Deno.test("Model.evaluate is the mean over all targets, counted one by one", async () => {
  await using model = await genericModel();
  const { loss: expected, count } = await lossOneByOne(
    model,
    dataset.evalBatches("train"),
  );
  assertEquals(count, dataset.size("train") - 1);
  const loss = await model.evaluate(dataset.evalBatches("train"));
  // Float64's rounding in a sum of 539 terms of order 1.
  assertAlmostEquals(loss, expected, 1e-12);
});

Deno.test("Model.evaluate leaves out what only training adds: label smoothing and dropout", async () => {
  const trained = { ...config, labelSmoothing: 0.3, dropout: 0.2 };
  await using model = await Model.create(trained, { device: "reference" });
  await makeGeneric(model);
  const batches = () => dataset.evalBatches("val");
  const { loss } = await lossOneByOne(model, batches());
  assertAlmostEquals(await model.evaluate(batches()), loss, 1e-12);
  // Nor does forward drop anything.
  await using plain = await Model.create(config, { device: "reference" });
  await makeGeneric(plain);
  assertEquals(
    await plain.evaluate(batches()),
    await model.evaluate(batches()),
  );
});

Deno.test("Model.evaluate accepts batches of different shapes", async () => {
  await using model = await genericModel();
  const tokens = randomIds(600, { vocabSize });
  // Also lengths of which B·T is a multiple of the model's T, so that rows could be glued together.
  for (const blockSize of [1, 2, 3, 4, T - 1]) {
    const short = new Dataset(tokens, { blockSize, batchSize: 3 * T });
    const { loss: expected } = await lossOneByOne(
      model,
      short.evalBatches("val"),
    );
    const loss = await model.evaluate(short.evalBatches("val"));
    assertAlmostEquals(loss, expected, 1e-12, `T ${blockSize}`);
  }
  const mixed = [2, 3].flatMap((blockSize) => [
    ...new Dataset(tokens, { blockSize, batchSize: 4 }).evalBatches("val"),
  ]);
  const alone = await Promise.all(mixed.map((one) => model.evaluate([one])));
  const counts = mixed.map(({ count }) => count);
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b);
  assertAlmostEquals(
    await model.evaluate(mixed),
    sum(alone.map((loss, i) => loss * counts[i]!)) / sum(counts),
    1e-12,
  );
  const long = new Dataset(tokens, { blockSize: T + 1, batchSize: 2 });
  await assertRejects(
    () => model.evaluate(long.evalBatches("val")),
    RangeError,
    `T (${T + 1}) is above blockSize (${T})`,
  );
});

Deno.test("Model.evaluate gives the same result when several evaluations run at once", async () => {
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

Deno.test("Model.evaluate works after an evaluation that was refused or aborted", async () => {
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
  await refused({ B: 2.5 }, "12 tokens are not 2.5 rows of 6");
  await refused({ B: 8, T: 1.5 }, "12 tokens are not 8 rows of 1.5");
  await refused({ B: 1, T: 2 * T }, "T (12) is above blockSize (6)");
  await refused({ count: 3 }, `count (3) is not the number of targets`);
  await assertRejects(
    () => model.forward(new Int32Array(3), { B: 2, T: 1.5 }),
    RangeError,
    "3 tokens are not 2 rows of 1.5",
  );
  await assertRejects(
    () => model.forward(new Int32Array(0), { B: 1, T: 0 }),
    RangeError,
    "0 tokens are not 1 rows of 0",
  );
});
