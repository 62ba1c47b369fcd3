/** One trial of a study: a model is made, trained, measured and forgotten. */

import type { Backend } from "../backends/backend.ts";
import { modelConfig, trainConfig } from "../config.ts";
import { Dataset, type DatasetOptions } from "../dataset.ts";
import { Model } from "../language_model.ts";
import { NonFiniteError } from "../metrics.ts";
import type { Tokenizer } from "../tokenizer.ts";
import { Trainer } from "../trainer.ts";
import type { Outcome } from "./outcome.ts";
import type { Trial } from "./plan.ts";

/** What all trials of a process share. */
export interface TrialRoom {
  readonly backend: Backend;
  readonly tokenizer: Tokenizer;
  /** The whole text's. */
  readonly tokens: Int32Array;
  readonly signal?: AbortSignal;
  /** Called after each step. */
  readonly onStep?: (step: number, maxSteps: number) => void;
}

/** The share of a text that is trained on; the rest validates. */
const TRAIN_SHARE = 0.9;

/**
 * Runs a trial. One that diverges is an outcome too.
 *
 * @throws the signal's reason if it is aborted: then there is no outcome
 */
export async function runTrial(
  trial: Trial,
  { backend, tokenizer, tokens, signal, onStep }: TrialRoom,
): Promise<Outcome> {
  const begun = performance.now();
  const { id, cell, seed } = trial;
  const train = trainConfig({
    evalInterval: 0,
    sampleInterval: 0,
    checkpointInterval: 0,
    ...trial.train,
  });
  const { vocabSize } = tokenizer;
  const config = modelConfig({ ...trial.model, vocabSize });
  const { blockSize } = config;
  const dataset = cut(tokens, trial.dataShare, {
    blockSize,
    batchSize: train.batchSize,
    seed,
  });
  await using model = await Model.create(config, { backend, seed });
  const trainer = new Trainer(model, dataset, train);
  const curve: Outcome["curve"][number][] = [];
  let diverged: Outcome["diverged"];
  let tokensPerSecond = 0;
  try {
    for await (const event of trainer.run(signal ? { signal } : {})) {
      if (event.event === "step") {
        tokensPerSecond = Math.max(tokensPerSecond, event.tokensPerSecond);
        onStep?.(event.step, train.maxSteps);
      } else if (event.event === "eval") {
        const { step, trainLoss, valLoss } = event;
        curve.push({ step, trainLoss, valLoss });
      }
    }
  } catch (error) {
    if (!(error instanceof NonFiniteError)) throw error;
    diverged = { step: error.step, message: error.message };
  }
  signal?.throwIfAborted();
  const last = diverged === undefined ? curve.at(-1) : undefined;
  return {
    id,
    cell,
    seed,
    parameters: model.parameterCount,
    steps: trainer.step,
    tokens: trainer.step * train.gradAccumulation * train.batchSize * blockSize,
    valLoss: last?.valLoss ?? null,
    trainLoss: last?.trainLoss ?? null,
    curve,
    ...(diverged && { diverged }),
    seconds: (performance.now() - begun) / 1000,
    tokensPerSecond,
  };
}

/**
 * The dataset with only a share of what is trained on: the end of it, next to the
 * validation split, which stays as it is.
 */
function cut(
  tokens: Int32Array,
  share: number,
  options: DatasetOptions,
): Dataset {
  const whole = Math.floor(tokens.length * TRAIN_SHARE);
  const kept = Math.max(1, Math.round(whole * share));
  const rest = tokens.subarray(whole - kept);
  // Between two counts, so that rounding does not move the cut.
  const trainFraction = (kept + 0.5) / rest.length;
  return new Dataset(rest, { ...options, trainFraction });
}
