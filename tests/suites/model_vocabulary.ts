/** The loss of large vocabularies, computed a chunk of rows at a time: the loss and the gradient are those of the whole. */

import { assert, assertEquals, assertLess } from "@std/assert";
import type { Backend, Numbers } from "../../lib/backends/backend.ts";
import { openReference } from "../../lib/backends/reference.ts";
import { makeGeneric, randomIds, variant } from "../../lib/checks/variants.ts";
import { type ModelConfig, modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { internalsOf } from "../../lib/model/internals.ts";
import { Model } from "../../lib/model/model.ts";
import { evalPlan, hasManyLogits } from "../../lib/model/plans.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { type Bench, benchTest } from "./model_bench.ts";

/** 150 rows: chunks of 64, 64 and 22. */
const shape = { B: 25, T: 6 };

/** So few logits that every chunk has the fewest rows. */
const forced = { mostLogits: 1 };

/** Heads of every kind, and inputs of the head of every kind. */
const names = [
  ...["the defaults", "head tied, with bias", "head without bias", "softcap"],
  ...["label smoothing", "norm none", "norm after", "mlp none", "all at once"],
];

/** Registers the tests on a backend. */
export function registerVocabulary(bench: Bench): void {
  for (const name of names) {
    benchTest(
      bench,
      `a loss in chunks is the loss of the whole: ${name}`,
      async (backend) => {
        // A vocabulary of more than one tile of every kernel, and no multiple of any.
        const config = { ...variant(name).config, vocabSize: 70 };
        await using reference = openReference();
        const [whole, exact, chunked] = [
          await resultsOf(config, backend),
          await resultsOf(config, reference),
          await resultsOf(config, backend, forced),
        ];
        assertEquals([whole.chunks, chunked.chunks], [1, 3]);
        for (const what of ["loss", "evalLoss", "gradient"] as const) {
          const [found, wanted] = [chunked[what], exact[what]];
          assertLess(distance(found, wanted), bench.tolerance, what);
          assertLess(distance(found, whole[what]), bench.tolerance, what);
        }
        // The same bits again, whatever the timing.
        assertEquals(await resultsOf(config, backend, forced), chunked);
      },
    );
  }

  benchTest(
    bench,
    "a vocabulary of 130,000 is trained in chunks",
    async (backend) => {
      const config = modelConfig({
        ...{ vocabSize: 130_000, blockSize: 10, nEmbd: 8, nLayer: 1, nHead: 1 },
        tiedHead: true,
      });
      const wide = { B: 13, T: 10 };
      assert(hasManyLogits(config, wide));
      const found = await resultsOf(config, backend, { ...wide });
      assertEquals(found.chunks, 3);
      // A head without a preference: ln 130,000 for every token, within what small weights do.
      assertLess(Math.abs(found.evalLoss[0]! / 130 - Math.log(130_000)), 0.5);
      await using reference = openReference();
      const exact = await resultsOf(config, reference, { ...wide });
      assertLess(distance(found.loss, exact.loss), bench.tolerance);
      assertLess(distance(found.gradient, exact.gradient), bench.tolerance);
    },
  );
}

/** Loss, evaluation and gradient of one batch. */
interface Results {
  readonly chunks: number;
  readonly loss: Numbers;
  readonly evalLoss: Numbers;
  readonly gradient: Numbers;
}

async function resultsOf(
  config: ModelConfig,
  backend: Backend,
  options: { B?: number; T?: number; mostLogits?: number } = {},
): Promise<Results> {
  const sizes = { ...shape, ...options };
  await using model = await Model.create(config, { backend, seed: 1 });
  if (config.vocabSize < 1000) await makeGeneric(model);
  const run = async (plan: Plan, phase: string) => {
    const program = await internalsOf(model).compile(plan);
    const { length } = randomIds(sizes.B * sizes.T, config);
    program.buffer("tokens").write(randomIds(length, config));
    const targets = randomIds(length, { ...config, seed: 2 });
    targets[70] = -1; // a row without a target, in the second chunk
    program.buffer("targets").write(targets);
    program.buffer("key").write([5, 0, 0, 0]);
    program.run([phase]);
    return program;
  };
  const evaluation = evalPlan(config, { ...sizes, logits: false });
  const evaluated = await run(evaluation, "eval");
  const plan = trainPlan(config, trainConfig(), sizes);
  const trained = await run(plan, "gradient");
  const [chunks, evalChunks] = [plan, evaluation].map(({ dispatches }) =>
    dispatches.filter(({ kernel }) => kernel === "crossEntropy").length
  );
  assertEquals(chunks, evalChunks);
  return {
    chunks: chunks!,
    loss: await trained.buffer("loss").read(),
    evalLoss: await evaluated.buffer("losses").read(0, 1),
    gradient: await trained.buffer("grads").read(),
  };
}

/** Returns the largest difference of two arrays, as a part of the largest number. */
function distance(found: Numbers, wanted: Numbers): number {
  assertEquals(found.length, wanted.length);
  let [worst, largest] = [0, 0];
  for (const [i, number] of wanted.entries()) {
    worst = Math.max(worst, Math.abs(found[i]! - number)); // NaN stays NaN
    largest = Math.max(largest, Math.abs(number));
  }
  assert(largest > 0);
  return worst / largest;
}
