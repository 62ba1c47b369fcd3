/** What a trainer does besides training, and whether it all fits together. */

import type { ModelConfig } from "../config/model.ts";
import type { TrainConfig } from "../config/train.ts";
import type { BatchShape, Dataset } from "../text/dataset.ts";
import type { GenerateTextOptions } from "../model/generate.ts";
import { checkVocabulary, type Tokenizer } from "../text/tokenizer.ts";

/** How samples are made on the way. They end with the signal that training ends with. */
export interface SampleRecipe extends Omit<GenerateTextOptions, "signal"> {
  /** What the text continues; at least one character. */
  readonly prompt: string;
}

/** What a {@linkcode Trainer} does besides training. */
export interface TrainerExtras {
  /** Becomes the model's, goes into checkpoints and makes samples possible; the model's own if left out. */
  readonly tokenizer?: Tokenizer | undefined;
  /** How samples are made; needs a tokenizer. Absent: none are. */
  readonly sample?: SampleRecipe | undefined;
  /** Batches of the training split in an evaluation, at least 1; 16 if left out. */
  readonly trainEvalBatches?: number | undefined;
  /**
   * Tokens of the validation split that an evaluation measures at most, at least 1; 2^18 if left out. Of a longer
   * split it measures windows spread evenly over it, the same ones each time. Infinity measures all.
   */
  readonly evalTokens?: number | undefined;
  /**
   * Characters per token, above 0, for `bitsPerChar`. If left out, the characters of the measured tokens are counted
   * with the tokenizer; without one each token is a character.
   */
  readonly charsPerToken?: number | undefined;
  /**
   * What happens at a step whose loss or gradient is not finite: `stop`, as if left out, throws;
   * `skip` leaves the weights as they are, tells it and goes on with the next batch.
   */
  readonly onNonFinite?: "stop" | "skip" | undefined;
}

/** Refuses a dataset that does not fit the model or the training. */
export function checkDataset(
  dataset: Dataset,
  { batchSize }: TrainConfig,
  { blockSize, vocabSize }: ModelConfig,
): void {
  const refuse = (reason: string) =>
    new RangeError(`Cannot create Trainer: ${reason}`);
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

/** Refuses a batch that is not what the training step was compiled for, as a subclass of {@linkcode Dataset} may draw it. */
export function checkBatchShape(
  { B, T }: BatchShape,
  { batchSize, blockSize }: Dataset,
): void {
  if (B === batchSize && T === blockSize) return;
  throw new RangeError(
    `Cannot train: the batch is (${B}, ${T}), its dataset's are (${batchSize}, ${blockSize})`,
  );
}

/** Refuses extras that do not fit the model or each other. */
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
    throw new TypeError("Cannot create Trainer: samples need a tokenizer");
  }
  if (!Number.isInteger(trainEvalBatches) || trainEvalBatches < 1) {
    throw new RangeError(
      `Cannot create Trainer: trainEvalBatches (${trainEvalBatches}) is not an integer of at least 1`,
    );
  }
  if (
    !(evalTokens === Infinity || Number.isInteger(evalTokens)) || evalTokens < 1
  ) {
    throw new RangeError(
      `Cannot create Trainer: evalTokens (${evalTokens}) is neither an integer of at least 1 nor Infinity`,
    );
  }
  if (!(charsPerToken > 0 && charsPerToken < Infinity)) {
    throw new RangeError(
      `Cannot create Trainer: charsPerToken (${charsPerToken}) is not a number above 0`,
    );
  }
}
