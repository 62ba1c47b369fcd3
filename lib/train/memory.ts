/** Checks that a training fits in device memory before any memory is allocated. */

import type { ModelConfig } from "../config/model.ts";
import type { TrainConfig } from "../config/train.ts";
import type { Dataset } from "../text/dataset.ts";
import { evaluationPlan } from "../model/evaluate.ts";
import { MAX_NEW_TOKENS } from "../model/generate.ts";
import { generationPlans, type GenerationSizes } from "../model/generation.ts";
import type { Plan } from "../graph/plan.ts";
import type { Model } from "../model/model.ts";
import { internalsOf } from "../model/internals.ts";
import { promptIds } from "../text/opening.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { stepPlan } from "./step.ts";
import type { SampleRecipe } from "./extras.ts";

/** Sizes of a training, which determine its plans. */
export interface TrainingSizes {
  readonly model: ModelConfig;
  readonly train: TrainConfig;
  /** Positions per row of the batches, T. */
  readonly blockSize: number;
  /** Sizes of the samples; absent if there are no samples. */
  readonly sample?: Omit<GenerationSizes, "rows"> | undefined;
}

/** Returns the plans that a training runs: steps, evaluations and samples. */
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
 * Throws if a training would run out of memory, possibly hours later at its first evaluation or sample.
 *
 * @throws {OutOfMemoryError} if the device lacks memory
 * @throws {RangeError} if the device cannot run the model
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
      promptLength: promptIds(tokenizer!, sample.prompt).length,
      maxNewTokens: sample.maxNewTokens ?? MAX_NEW_TOKENS,
    },
  });
  const { batchSize } = train;
  const action = `train with batchSize ${batchSize} and blockSize ${blockSize}`;
  internalsOf(model).checkRoom(action, plans, ["batchSize", "blockSize"]);
}
