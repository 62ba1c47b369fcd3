/** How much of a device's memory a model and its training take, known before any of it is taken. */

import type { ModelConfig } from "../config/model.ts";
import type { TrainConfig } from "../config/train.ts";
import type { Dataset } from "../text/dataset.ts";
import { evaluationPlan } from "../model/evaluate.ts";
import {
  generationPlans,
  type GenerationSizes,
  MAX_NEW_TOKENS,
} from "../model/generate.ts";
import type { Plan } from "../graph/plan.ts";
import type { Model } from "../model/model.ts";
import { internalsOf } from "../model/internals.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { stepPlan } from "./step.ts";
import type { SampleRecipe } from "./extras.ts";

/** A training, as far as its plans depend on it. */
export interface TrainingSizes {
  readonly model: ModelConfig;
  readonly train: TrainConfig;
  /** T of the batches. */
  readonly blockSize: number;
  /** The samples on the way; absent if there are none. */
  readonly sample?: Omit<GenerationSizes, "rows"> | undefined;
}

/** Returns the plans that a training runs: its step, its evaluations and its samples. */
export function trainingPlans(
  { model, train, blockSize: T, sample }: TrainingSizes,
): Plan[] {
  const shape = { B: train.batchSize, T };
  return [
    stepPlan(model, train, shape),
    evaluationPlan(model, shape),
    ...(sample ? generationPlans(model, { rows: 1, ...sample }).values() : []),
  ];
}

/**
 * Refuses a training that would fail at its first evaluation or sample, hours after it began.
 *
 * @throws {OutOfMemoryError} if the device lacks the memory
 * @throws {RangeError} if the device cannot run such a model
 */
export function checkMemory(
  model: Model,
  { blockSize }: Dataset,
  { train, sample, tokenizer }: {
    readonly train: TrainConfig;
    readonly sample: SampleRecipe | undefined;
    readonly tokenizer: Tokenizer | undefined;
  },
): void {
  const plans = trainingPlans({
    ...{ model: model.config, train, blockSize },
    sample: sample && {
      promptLength: tokenizer!.encode(sample.prompt).length,
      maxNewTokens: sample.maxNewTokens ?? MAX_NEW_TOKENS,
    },
  });
  const { batchSize } = train;
  const action = `train with batchSize ${batchSize} and blockSize ${blockSize}`;
  internalsOf(model).checkRoom(action, plans);
}
