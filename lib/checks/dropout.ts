/** Checks that dropout acts in training and nowhere else. */

import type { Backend, Numbers } from "../backends/backend.ts";
import { trainConfig } from "../config/train.ts";
import { Model } from "../model/model.ts";
import { trainPlan } from "../train/plan.ts";
import { CachedRun } from "./cached_run.ts";
import { largestChange } from "./causality.ts";
import { makeGeneric, randomIds, variant } from "./variants.ts";
import { type CheckGroup, type Verdict, verdict } from "./verdict.ts";
import { internalsOf } from "../model/internals.ts";

/** Returns the checks of a small model with dropout. */
export function dropoutChecks(backend: Backend): CheckGroup {
  return {
    name: "dropout",
    meaning: "it acts in training, but not in evaluation or generation.",
    async *run() {
      const { config } = variant("dropout");
      await using model = await Model.create(config, { backend });
      await makeGeneric(model);
      yield* checkDropout(model);
    },
  };
}

/**
 * Checks a model with dropout.
 *
 * @param options.beside backend that runs the same weights without dropout; the model's backend by default
 */
export async function* checkDropout(
  model: Model,
  { beside = model.backend }: { readonly beside?: Backend } = {},
): AsyncGenerator<Verdict> {
  const { config } = model;
  yield await verdict("in training", async () => {
    const losses = await trainingLosses(model, [1, 2, 1]);
    const [first, other, again] = losses;
    const numbers = { first: first!, other: other! };
    if (first === other) {
      return {
        status: "failed",
        found:
          `with rate ${config.dropout} two masks give one loss, ${first}: nothing is dropped`,
        hint:
          "nothing reads the configuration's dropout: the model trains without it",
        numbers,
      };
    }
    const found = `two masks give losses ${first!.toFixed(4)} and ${
      other!.toFixed(4)
    }`;
    return first === again ? { status: "ok", found, numbers } : {
      status: "failed",
      found: `the same mask gives losses ${first} and ${again}`,
      hint: "masks depend on more than the key: a run cannot be repeated",
      numbers,
    };
  });
  yield await verdict("in evaluation", async () => {
    await using plain = await twin(model, { dropout: 0, backend: beside });
    const changed = {
      "full passes": largestChange(
        await evaluated(plain),
        await evaluated(model),
      ),
      decoding: largestChange(await decoded(plain), await decoded(model)),
    };
    for (const [path, change] of Object.entries(changed)) {
      if (change === 0) continue;
      return {
        status: "failed",
        found: `${path}: logits differ from those of rate 0, by up to ${
          change.toPrecision(2)
        }`,
        hint: "dropout is left on: losses are too high, and texts too noisy",
        numbers: { change },
      };
    }
    return {
      status: "ok",
      found: "the bits of the same weights with rate 0, on both paths",
    };
  });
}

/** Returns a second model with the same weights. */
async function twin(
  model: Model,
  { dropout, backend }: {
    readonly dropout: number;
    readonly backend: Backend;
  },
): Promise<Model> {
  const config = { ...model.config, dropout };
  const other = await Model.create(config, { backend });
  other.setParameters(await model.parameters());
  return other;
}

/** Returns the training losses of one batch, one for each key of the dropout masks. */
async function trainingLosses(
  model: Model,
  keys: readonly number[],
): Promise<number[]> {
  const { dropout, vocabSize, blockSize: T } = model.config;
  // A copy, since training leaves gradients behind.
  await using copy = await twin(model, { dropout, backend: model.backend });
  const plan = trainPlan(copy.config, trainConfig(), { B: 1, T });
  const program = await internalsOf(copy).compile(plan);
  program.buffer("tokens").write(randomIds(T, { vocabSize, seed: 1 }));
  program.buffer("targets").write(randomIds(T, { vocabSize, seed: 2 }));
  const losses: number[] = [];
  for (const key of keys) {
    program.buffer("loss").write([0]);
    program.buffer("key").write([key, 0, 0, 0]);
    program.run(["gradient"]);
    losses.push((await program.buffer("loss").read())[0]!);
  }
  return losses;
}

function evaluated(model: Model): Promise<Numbers> {
  const { blockSize: T, vocabSize } = model.config;
  return model.forward(randomIds(T, { vocabSize }), { B: 1, T });
}

/** Returns the logits after some tokens, decoded one at a time. */
async function decoded(model: Model): Promise<Numbers> {
  const { blockSize, vocabSize } = model.config;
  await using run = new CachedRun(model, 1);
  let logits: Numbers = new Float64Array();
  for (const id of randomIds(Math.min(4, blockSize), { vocabSize })) {
    logits = await run.feed([[id]]);
  }
  return logits;
}
