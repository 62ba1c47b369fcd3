/**
 * The gradient of a whole model's training loss, as the train plan computes it on the
 * reference, against central differences: every element of every parameter of every
 * variant, with dropout (whose masks the key fixes), smoothing and accumulated batches.
 *
 * (L(p + h) - L(p - h)) / 2h is off by h²/6 · L‴ and by rounding, about 1e-16 · L / h. With
 * h = 1e-5 both are about 1e-9 to 1e-8 here; gradients are of order 0.01 to 1, and mistakes too.
 */

import { assert, assertEquals } from "@std/assert";
import type { Program } from "../lib/backends/backend.ts";
import { openReference } from "../lib/backends/reference.ts";
import { type ModelConfig, trainConfig } from "../lib/config.ts";
import type { LayoutEntry } from "../lib/graph/layout.ts";
import type { Plan } from "../lib/graph/plan.ts";
import { Model } from "../lib/language_model.ts";
import { trainPlan } from "../lib/plans.ts";
import {
  makeGeneric,
  randomIds,
  variant,
  variants,
} from "../lib/checks/variants.ts";

const STEP = 1e-5;
const TOLERANCE = 1e-7;
const B = 2;
const T = 5;

/** A train plan with a phase `loss` that stops before the gradient: the forward dispatches and the loss's sum. */
function withLossPhase(plan: Plan): Plan {
  const [from] = plan.phases["gradient"]!;
  const last = plan.dispatches.findIndex(({ kernel }) => kernel === "lossSum");
  return { ...plan, phases: { ...plan.phases, loss: [from, last + 1] } };
}

/** A model and what it takes to compute its loss over some micro-batches. */
class Lesson {
  readonly model: Model;
  readonly #program: Program;
  readonly #microBatches: number;

  constructor(model: Model, program: Program, microBatches: number) {
    this.model = model;
    this.#program = program;
    this.#microBatches = microBatches;
  }

  /** Runs a phase on every micro-batch, each with its own dropout masks; gives the loss of all together. */
  async run(phase: "loss" | "gradient"): Promise<number> {
    const { vocabSize } = this.model.config;
    this.#program.buffer("loss").write([0]);
    for (let micro = 0; micro < this.#microBatches; micro++) {
      const ids = (seed: number) => randomIds(B * T, { vocabSize, seed });
      this.#program.buffer("tokens").write(ids(2 * micro));
      this.#program.buffer("targets").write(ids(2 * micro + 1));
      this.#program.buffer("key").write([5, micro, 0, 0]);
      this.#program.run([phase]);
    }
    return (await this.#program.buffer("loss").read())[0]!;
  }

  /** The gradient as the plan computes it: the flat store. */
  async gradient(): Promise<Float64Array> {
    await this.run("gradient");
    return await this.#program.buffer("grads").read() as Float64Array;
  }

  /** The central difference by element `index` of the flat store. */
  async difference(index: number): Promise<number> {
    const params = this.#program.buffer("params");
    const value = (await params.read(index, 1))[0]!;
    const lossAt = (moved: number) => {
      params.write([moved], index);
      return this.run("loss");
    };
    const [above, below] = [
      await lossAt(value + STEP),
      await lossAt(value - STEP),
    ];
    params.write([value], index);
    return (above - below) / (2 * STEP);
  }
}

/** Checks every element of every parameter; gives the gradient. */
async function checkGradient(
  config: ModelConfig,
  gradAccumulation = 1,
): Promise<{ model: Model; gradient: Float64Array }> {
  await using backend = openReference();
  const model = await Model.create(config, { backend });
  await makeGeneric(model);
  const training = trainConfig({ gradAccumulation });
  const plan = withLossPhase(trainPlan(config, training, { B, T }));
  const program = await backend.compile(plan, model.stores);
  const lesson = new Lesson(model, program, gradAccumulation);
  const gradient = await lesson.gradient();
  for (const { name, offset, length } of model.layout.entries) {
    for (let i = offset; i < offset + length; i++) {
      const expected = await lesson.difference(i);
      const error = Math.abs(gradient[i]! - expected);
      assert(
        error <= TOLERANCE * Math.max(1, Math.abs(expected)),
        `${name}[${i - offset}]: ${gradient[i]}, by differences ${expected}`,
      );
    }
  }
  return { model, gradient };
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
  const { model, gradient } = await checkGradient(config);
  const [{ name, offset }] = model.layout.entries as [LayoutEntry];
  assertEquals(name, "wte.weight");
  const used = new Set(randomIds(B * T, { vocabSize, seed: 0 }));
  for (let id = 0; id < vocabSize; id++) {
    // The head reads every row; a token that does not occur gets no gradient but that.
    const row = gradient.subarray(offset + id * C, offset + (id + 1) * C);
    assert(row.every((d) => d !== 0), `row ${id}`);
  }
  assert(used.size < vocabSize);
});
