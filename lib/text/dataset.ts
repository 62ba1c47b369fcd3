/**
 * Token ids as training and evaluation batches: the split, the random windows of
 * a training step, the exhaustive windows of an evaluation. Every batch is a pure
 * function of its arguments; there is no iterator state to save or restore.
 *
 * Text and its encoding are the tokenizer's, reading files is the program's.
 */

import { checkSeed, CounterRandom, Purpose } from "../../kernels/random.ts";
import type { Tokens } from "./tokens.ts";

/** The two parts of a {@linkcode Dataset}. */
export type Split = "train" | "val";

/** Rows of a batch and positions in a row. */
export interface BatchShape {
  /** Rows. */
  readonly B: number;
  /** Positions in a row. */
  readonly T: number;
}

/** Windows of tokens, (B, T), and for each token the one that follows it. */
export interface Batch extends BatchShape {
  /** Inputs, shape (B, T) row-major. */
  readonly tokens: Int32Array;
  /** Next tokens, shape (B, T) row-major. */
  readonly targets: Int32Array;
}

/** A batch of an evaluation, where some positions may have nothing to predict. */
export interface EvalBatch extends Batch {
  /**
   * Next tokens, shape (B, T) row-major; -1, which the loss ignores, where the
   * split has no more. The token at such a place is 0.
   */
  readonly targets: Int32Array;
  /** How many targets are real, from 1 to B·T: the weight of this batch's mean loss. */
  readonly count: number;
}

/** What a {@linkcode Dataset} is made with. */
export interface DatasetOptions {
  /** T, the tokens of a window; at least 1. */
  readonly blockSize: number;
  /** B, the windows of a batch; at least 1. */
  readonly batchSize: number;
  /** Chooses the training windows; an integer in [0, 2^32), 0 if left out. */
  readonly seed?: number | undefined;
  /** The share of tokens to train on, the first ones; in (0, 1), 0.9 if left out. */
  readonly trainFraction?: number | undefined;
}

/** No target: the value the loss ignores. */
const IGNORED = -1;

/**
 * A text's tokens, split once: the first floor(n · trainFraction) to train on and
 * the rest to validate on, as nanoGPT does.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Dataset, Tokenizer } from "@lm/core";
 *
 * const tokens = Tokenizer.ascii().encode("the quick brown fox jumps over it");
 * const dataset = new Dataset(tokens, { blockSize: 8, batchSize: 4, seed: 1 });
 * const { tokens: inputs, targets } = dataset.batch(0); // (B, T) = (4, 8)
 * assertEquals(inputs.length, 4 * 8);
 * assertEquals(targets[0], inputs[1]);
 * ```
 */
export class Dataset {
  /** T, the tokens of a window. */
  readonly blockSize: number;
  /** B, the windows of a batch. */
  readonly batchSize: number;
  /** The largest token of the text: a model that is to learn it has a `vocabSize` above. */
  readonly largestToken: number;
  readonly #splits: Readonly<Record<Split, Tokens>>;
  readonly #random: CounterRandom;

  /**
   * Splits the tokens.
   *
   * @param tokens the whole text, shape (N); kept, not copied
   * @throws {RangeError} if an option is out of range, if a token is negative, or
   * if the text is too short for one training window (T + 1 tokens) and one
   * validation target (2)
   */
  constructor(tokens: Tokens, options: DatasetOptions) {
    const { blockSize, batchSize, seed = 0, trainFraction = 0.9 } = options;
    checkAtLeastOne("Cannot create Dataset: blockSize", blockSize);
    checkAtLeastOne("Cannot create Dataset: batchSize", batchSize);
    checkSeed(seed);
    if (!(trainFraction > 0 && trainFraction < 1)) {
      throw new RangeError(
        `Cannot create Dataset: trainFraction (${trainFraction}) is not between 0 and 1`,
      );
    }
    if (!suffices(tokens.length, blockSize, trainFraction)) {
      throw new RangeError(
        `Cannot create Dataset: the text has ${tokens.length} tokens, blockSize ${blockSize} ` +
          `needs at least ${fewestTokens(blockSize, trainFraction)} ` +
          `(${blockSize + 1} to train on and 2 to validate on)`,
      );
    }
    this.blockSize = blockSize;
    this.batchSize = batchSize;
    this.largestToken = largestToken(tokens);
    const size = trainSize(tokens.length, trainFraction);
    this.#splits = {
      train: tokens.subarray(0, size),
      val: tokens.subarray(size),
    };
    this.#random = new CounterRandom(seed, Purpose.batch);
  }

  /** The number of tokens in a split; it has one target fewer. */
  size(split: Split): number {
    return this.#splits[split].length;
  }

  /**
   * The random windows of one training step, drawn with replacement. A pure
   * function of (seed, step, microStep); the micro-batches of a step are, one
   * after the other, the rows of one larger batch with the same seed.
   *
   * @param step an integer in [0, 2^32)
   * @param microStep which part of an accumulated gradient; an integer from 0
   * @returns tokens and targets, both (B, T), all targets real
   * @throws {RangeError} if step or microStep is not such an integer
   */
  batch(step: number, microStep = 0): Batch {
    checkCounter("Cannot draw a batch: step", step, 2 ** 32);
    checkCounter(
      "Cannot draw a batch: microStep",
      microStep,
      Math.floor(2 ** 32 / this.batchSize),
    );
    const { blockSize, batchSize } = this;
    const source = this.#splits.train;
    const tokens = new Int32Array(batchSize * blockSize);
    const targets = new Int32Array(batchSize * blockSize);
    for (let row = 0; row < batchSize; row++) {
      const index = microStep * batchSize + row;
      const start = this.#random.below(source.length - blockSize, step, index);
      tokens.set(source.subarray(start, start + blockSize), row * blockSize);
      targets.set(
        source.subarray(start + 1, start + 1 + blockSize),
        row * blockSize,
      );
    }
    return { B: batchSize, T: blockSize, tokens, targets };
  }

  /**
   * A split cut into windows that don't overlap, in order: each of its targets
   * exactly once, so that an evaluation is exhaustive and repeatable.
   *
   * @param options.maxBatches take only so many batches of windows, evenly spread
   * over the split and always the same ones; at least 1
   * @returns batches of (B, T); the last may have rows or row ends without targets
   * @throws {RangeError} if maxBatches is not a positive integer
   */
  evalBatches(
    split: Split,
    options: { readonly maxBatches?: number | undefined } = {},
  ): Iterable<EvalBatch> {
    const { blockSize, batchSize } = this;
    return evalWindows(this.#splits[split], {
      blockSize,
      batchSize,
      ...options,
    });
  }
}

/**
 * Cuts all of a text into windows that don't overlap, in order: each token but the first is a
 * target exactly once. For a text that is measured and not trained on;
 * {@linkcode Dataset.evalBatches} cuts a split the same way.
 *
 * @param tokens the text, shape (N)
 * @param options.blockSize T, the tokens of a window; at least 1
 * @param options.batchSize B, the windows of a batch; at least 1
 * @param options.maxBatches take only so many batches of windows, evenly spread over the text
 * and always the same ones; at least 1
 * @returns batches of (B, T); the last may have rows or row ends without targets
 * @throws {RangeError} if an option is no such integer, or if the text has fewer than 2 tokens
 */
export function evalWindows(
  tokens: Tokens,
  { blockSize, batchSize, maxBatches }: {
    readonly blockSize: number;
    readonly batchSize: number;
    readonly maxBatches?: number | undefined;
  },
): Iterable<EvalBatch> {
  const task = "Cannot cut eval batches";
  checkAtLeastOne(`${task}: blockSize`, blockSize);
  checkAtLeastOne(`${task}: batchSize`, batchSize);
  if (maxBatches !== undefined) {
    checkAtLeastOne(`${task}: maxBatches`, maxBatches);
  }
  if (tokens.length < 2) {
    throw new RangeError(
      `${task}: the text has ${tokens.length} tokens, needs at least 2`,
    );
  }
  const windows = windowCount(tokens.length, blockSize);
  const taken = Math.min(windows, (maxBatches ?? Infinity) * batchSize);
  const start = (i: number) => Math.floor(i * windows / taken) * blockSize;
  return {
    *[Symbol.iterator]() {
      for (let first = 0; first < taken; first += batchSize) {
        const inputs = new Int32Array(batchSize * blockSize);
        const targets = new Int32Array(batchSize * blockSize).fill(IGNORED);
        let count = 0;
        for (let row = 0; row < Math.min(batchSize, taken - first); row++) {
          const from = start(first + row);
          const length = Math.min(blockSize, tokens.length - 1 - from);
          inputs.set(tokens.subarray(from, from + length), row * blockSize);
          targets.set(
            tokens.subarray(from + 1, from + 1 + length),
            row * blockSize,
          );
          count += length;
        }
        yield {
          B: batchSize,
          T: blockSize,
          tokens: inputs,
          targets,
          count,
        };
      }
    },
  };
}

/**
 * How many batches of {@linkcode evalWindows} measure at most `limit` of a text's tokens: at least one, and
 * all if the text has no more.
 */
export function batchesWithin(
  limit: number,
  { length }: { readonly length: number },
  { blockSize, batchSize }: {
    readonly blockSize: number;
    readonly batchSize: number;
  },
): number {
  return length - 1 <= limit
    ? Math.ceil(windowCount(length, blockSize) / batchSize)
    : Math.max(1, Math.floor(limit / (batchSize * blockSize)));
}

/** How many of a text's tokens the batches of {@linkcode batchesWithin} measure. */
export function tokensWithin(
  limit: number,
  text: { readonly length: number },
  shape: { readonly blockSize: number; readonly batchSize: number },
): number {
  const most = batchesWithin(limit, text, shape) * shape.batchSize *
    shape.blockSize;
  return Math.min(text.length - 1, most);
}

/** How many windows a text of so many tokens is cut into; the first token is no target. */
function windowCount(tokens: number, blockSize: number): number {
  return Math.ceil((tokens - 1) / blockSize);
}

/** The largest token; refuses negative ones, since -1 means that there is no target. */
function largestToken(tokens: Tokens): number {
  let largest = 0;
  // By index: an iterator takes four times as long, which is seconds for a gigabyte.
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at]!;
    if (token < 0) {
      throw new RangeError(
        `Cannot create Dataset: token ${token} is below 0`,
      );
    }
    if (token > largest) largest = token;
  }
  return largest;
}

/** How many of a text's tokens are the training split: the first ones, nine of ten if nothing else is said. */
export function trainSize(length: number, trainFraction = 0.9): number {
  return Math.floor(length * trainFraction);
}

function suffices(
  length: number,
  blockSize: number,
  trainFraction: number,
): boolean {
  const size = trainSize(length, trainFraction);
  return size >= blockSize + 1 && length - size >= 2;
}

/** The smallest length that suffices; the quotients may be off by one, the search is not. */
function fewestTokens(blockSize: number, trainFraction: number): number {
  const quotient = Math.max(
    (blockSize + 1) / trainFraction,
    1 / (1 - trainFraction),
  );
  let length = Math.ceil(quotient) - 1;
  while (
    length < Number.MAX_SAFE_INTEGER &&
    !suffices(length, blockSize, trainFraction)
  ) length++;
  return length;
}

function checkAtLeastOne(what: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new RangeError(`${what} (${value}) is not an integer of at least 1`);
  }
}

function checkCounter(what: string, value: number, end: number): void {
  if (!Number.isInteger(value) || value < 0 || value >= end) {
    throw new RangeError(
      `${what} (${value}) is not an integer from 0 to ${end - 1}`,
    );
  }
}
