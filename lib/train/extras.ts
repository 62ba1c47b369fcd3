/** Options of a trainer besides the training configuration, and checks that they fit together. */

import type { ModelConfig } from "../config/model.ts";
import type { TrainConfig } from "../config/train.ts";
import type { BatchShape, Dataset } from "../text/dataset.ts";
import type { GenerateTextOptions } from "../model/generate.ts";
import { checkVocabulary, type Tokenizer } from "../text/tokenizer.ts";
import { checkWithin, positive } from "../range.ts";
import { refusal, refuser } from "../refusal.ts";

/** Options of the text samples during training. The signal of the run also ends samples. */
export interface SampleRecipe extends Omit<GenerateTextOptions, "signal"> {
  /** Prompt of the sample; at least one character, unless the tokenizer has `<|endoftext|>`. */
  readonly prompt: string;
}

/** Options of a {@linkcode Trainer} besides the training configuration. */
export interface TrainerExtras {
  /** Tokenizer to set on the model, for checkpoints and samples; by default the model keeps its own. */
  readonly tokenizer?: Tokenizer | undefined;
  /** Options of the samples, which need a tokenizer; no samples by default. */
  readonly sample?: SampleRecipe | undefined;
  /** Batches of the training split in an evaluation, at least 1; 16 by default. */
  readonly trainEvalBatches?: number | undefined;
  /**
   * Most validation tokens in an evaluation, at least 1; 2^18 by default. If the split is longer, an evaluation
   * measures the same evenly spread windows each time. Infinity measures the whole split.
   */
  readonly evalTokens?: number | undefined;
  /**
   * Characters per token, above 0, for `bitsPerChar`. By default the characters of the measured tokens are counted
   * with the tokenizer; without a tokenizer each token counts as one character.
   */
  readonly charsPerToken?: number | undefined;
  /**
   * Action after a step whose loss or gradient is not finite. `stop` (the default) throws; `skip` keeps the
   * weights, emits a {@linkcode SkipEvent} and continues with the next batch.
   */
  readonly onNonFinite?: "stop" | "skip" | undefined;
}

/** Throws if a dataset does not fit the model or the training configuration. */
export function checkDataset(
  dataset: Dataset,
  { batchSize }: TrainConfig,
  { blockSize, vocabSize }: ModelConfig,
): void {
  const refuse = refuser(RangeError, "create Trainer");
  if (batchSize !== dataset.batchSize) {
    throw refuse(
      `batchSize (${batchSize}) is not the dataset's (${dataset.batchSize})`,
    );
  }
  if (dataset.blockSize > blockSize) {
    throw refuse(
      `the dataset's blockSize (${dataset.blockSize}) is above the model's (${blockSize})`,
    );
  }
  if (dataset.largestToken >= vocabSize) {
    throw refuse(
      `the dataset has token ${dataset.largestToken}, the model's vocabSize is ${vocabSize}`,
    );
  }
}

/** Throws if a batch, e.g. from a subclass of {@linkcode Dataset}, has not the shape that the step was compiled for. */
export function checkBatchShape(
  { B, T }: BatchShape,
  { batchSize, blockSize }: Dataset,
): void {
  if (B === batchSize && T === blockSize) return;
  throw refusal(
    RangeError,
    "train",
    `the batch is (${B}, ${T}), its dataset's are (${batchSize}, ${blockSize})`,
  );
}

/** Throws if options do not fit the model or each other. */
export function checkExtras(
  {
    tokenizer,
    sample,
    trainEvalBatches = 1,
    evalTokens = 1,
    charsPerToken = 1,
  }: TrainerExtras,
  model: ModelConfig,
): void {
  if (tokenizer !== undefined) {
    checkVocabulary("create Trainer", tokenizer, model);
  }
  if (sample !== undefined && tokenizer === undefined) {
    throw refusal(TypeError, "create Trainer", "samples need a tokenizer");
  }
  const action = "create Trainer";
  checkWithin(positive, action, { trainEvalBatches });
  if (evalTokens !== Infinity) {
    const hint = "Infinity measures all tokens";
    checkWithin(positive, action, { evalTokens }, hint);
  }
  checkWithin({ above: 0 }, action, { charsPerToken });
}
