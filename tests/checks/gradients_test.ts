/**
 * The gradient of a whole model's training loss, as the train plan computes it on the
 * reference, against central differences: every element of every parameter of every
 * variant, with dropout (whose masks the key fixes), smoothing and accumulated batches.
 * How, and how exactly, is said in `lib/checks/gradients.ts`.
 */

import { assert, assertEquals } from "@std/assert";
import { openReference } from "../../lib/backends/reference.ts";
import {
  compareWithDifferences,
  TrainingLoss,
} from "../../lib/checks/gradients.ts";
import { randomIds, variant, variants } from "../../lib/checks/variants.ts";
import type { ModelConfig } from "../../lib/config/model.ts";
import type { LayoutEntry } from "../../lib/graph/layout.ts";
import { internalsOf } from "../../lib/model/internals.ts";

/** Tokens of the batch. */
const TOKENS = 10;

/** Checks every element of every parameter; gives the gradient. */
async function checkGradient(config: ModelConfig, gradAccumulation = 1) {
  await using backend = openReference();
  await using trainingLoss = await TrainingLoss.prepare(config, {
    backend,
    gradAccumulation,
  });
  const { layout } = internalsOf(trainingLoss.model);
  const { worst, at } = await compareWithDifferences(trainingLoss);
  assert(worst <= 1, at);
  return { layout, gradient: await trainingLoss.gradient() };
}

for (const { name, config } of variants) {
  Deno.test(`Gradients of every parameter are the loss's slopes: ${name}`, async () => {
    // One layer shows all there is to a block; how blocks follow each other is for the next test.
    await checkGradient({ ...config, nLayer: 1 });
  });
}

for (const name of ["the defaults", "no residual, norm after", "all at once"]) {
  Deno.test(`Gradients of every parameter are the loss's slopes in three layers: ${name}`, async () => {
    await checkGradient({ ...variant(name).config, nLayer: 3 });
  });
}

for (const name of ["the defaults", "all at once"]) {
  Deno.test(`Gradients of accumulated batches are the slopes of their mean loss: ${name}`, async () => {
    await checkGradient({ ...variant(name).config, nLayer: 1 }, 3);
  });
}

Deno.test("Gradients of a tied head are not those of the embedding alone", async () => {
  const config = { ...variant("head tied").config, vocabSize: 20, nLayer: 1 };
  const { vocabSize, nEmbd: C } = config;
  const { layout, gradient } = await checkGradient(config);
  const [{ name, offset }] = layout.entries as [LayoutEntry];
  assertEquals(name, "wte.weight");
  const used = new Set(randomIds(TOKENS, { vocabSize, seed: 0 }));
  for (let id = 0; id < vocabSize; id++) {
    // The head reads every row; a token that does not occur gets no gradient but that.
    const row = gradient.subarray(offset + id * C, offset + (id + 1) * C);
    assert(row.every((d) => d !== 0), `row ${id}`);
  }
  assert(used.size < vocabSize);
});
