/** Checks that a training run gives the same bits when repeated, and on any number of threads. */

import type { Backend, Numbers } from "../backends/backend.ts";
import { openBackend } from "../backends/open.ts";
import { Dataset } from "../text/dataset.ts";
import { Model } from "../model/model.ts";
import { Trainer } from "../train/trainer.ts";
import { randomIds } from "./variants.ts";
import { type CheckGroup, type Verdict, verdict } from "./verdict.ts";
import { internalsOf } from "../model/internals.ts";

/** Configuration with dropout, large enough that threads share the work of each step. */
const config = {
  vocabSize: 65,
  blockSize: 64,
  nLayer: 2,
  nHead: 4,
  nEmbd: 128,
  position: "rope",
  dropout: 0.1,
} as const;

/** Smaller configuration for backends without threads. */
const small = { ...config, blockSize: 16, nLayer: 1, nEmbd: 16 };

const STEPS = 5;

/** Results of a training run. */
interface Trace {
  readonly losses: readonly number[];
  readonly weights: Numbers;
}

async function train(backend: Backend): Promise<Trace> {
  const options = backend.kind === "wasm" ? config : small;
  await using model = await Model.create(options, { backend, seed: 3 });
  const { vocabSize, blockSize } = options;
  const text = randomIds(4000, { vocabSize });
  const dataset = new Dataset(text, { blockSize, batchSize: 6, seed: 5 });
  const trainer = new Trainer(model, dataset, {
    maxSteps: STEPS,
    trainEvalBatches: 1,
  });
  const losses: number[] = [];
  for await (const event of trainer.run()) {
    if (event.kind === "step") losses.push(event.loss);
    if (event.kind === "eval") losses.push(event.valLoss);
  }
  return {
    losses,
    weights: await internalsOf(model).stores.get("params")!.read(),
  };
}

/** Returns a check of two equal runs and, on wasm, a check of different numbers of threads. */
export function repeatabilityChecks(backend: Backend): CheckGroup {
  return {
    name: "repeatability",
    meaning:
      "the same seed gives the same losses and weights again, to the last bit.",
    run: () => checkRepeatability(backend),
  };
}

async function* checkRepeatability(backend: Backend): AsyncGenerator<Verdict> {
  let first: Trace | undefined;
  yield await verdict("twice", async () => {
    first = await train(backend);
    const changed = difference(first, await train(backend));
    return changed === undefined
      ? { status: "ok", found: `${STEPS} steps of training, twice` }
      : {
        status: "failed",
        found: changed,
        hint:
          "this device adds numbers in an order that changes: its runs cannot be repeated",
      };
  });
  yield await verdict("threads", async () => {
    if (backend.kind !== "wasm") {
      return { status: "skipped", found: "only wasm has threads to choose" };
    }
    if (first === undefined) {
      return { status: "skipped", found: "the training before it failed" };
    }
    for (const threads of [1, 3]) {
      const blas = backend.blas?.path ?? "off";
      await using other = await openBackend("wasm", { threads, blas });
      const changed = difference(first, await train(other));
      if (changed !== undefined) {
        return {
          status: "failed",
          found: `on ${threads} threads: ${changed}`,
          hint: "report it, with this line and what info says",
        };
      }
    }
    return { status: "ok", found: `the same on 1 and 3 threads` };
  });
}

/** Describes the first difference of two runs; undefined if they are equal. */
function difference(a: Trace, b: Trace): string | undefined {
  const step = a.losses.findIndex((loss, i) => !Object.is(loss, b.losses[i]));
  if (step >= 0) {
    return `loss ${step + 1} is ${b.losses[step]}, was ${a.losses[step]}`;
  }
  const weights = a.weights.filter((x, i) => !Object.is(x, b.weights[i]));
  return weights.length === 0
    ? undefined
    : `${weights.length} of ${a.weights.length} weights differ`;
}
