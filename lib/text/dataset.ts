/**
 * Training and evaluation batches of token ids: the split of a text, random
 * windows for training steps, and exhaustive windows for evaluations. Every batch
 * is a pure function of its arguments, so there is no iterator state to save.
 *
 * The tokenizer encodes text, and the program reads files.
 */

import { CounterRandom, Purpose } from "../../kernels/random.ts";
import type { Tokens } from "./tokens.ts";
import { checkWithin, positive, word } from "../range.ts";
import { refusal, refuser } from "../refusal.ts";

const cannotCreate = refuser(RangeError, "create Dataset");

/** The two parts of a {@linkcode Dataset}. */
export type Split = "train" | "val";

/** Shape of a batch. */
export interface BatchShape {
  /** Number of rows. */
  readonly B: number;
  /** Number of positions in a row. */
  readonly T: number;
}

/** A batch of token windows, with the next token at each position. */
export interface Batch extends BatchShape {
  /** Inputs, shape (B, T) row-major. */
  readonly tokens: Int32Array;
  /** Next tokens, shape (B, T) row-major. */
  readonly targets: Int32Array;
}

/** A batch of an evaluation; some positions may have no target. */
export interface EvalBatch extends Batch {
  /**
   * Next tokens, shape (B, T) row-major. Positions past the end of the split have
   * target -1, which the loss ignores, and token 0.
   */
  readonly targets: Int32Array;
  /** Number of targets other than -1, from 1 to B·T: the weight of this batch's mean loss. */
  readonly count: number;
}

/** Options of a {@linkcode Dataset}. */
export interface DatasetOptions {
  /** Tokens per window, T; at least 1. */
  readonly blockSize: number;
  /** Windows per batch, B; at least 1. */
  readonly batchSize: number;
  /** Seed of the training windows, an integer in [0, 2^32); 0 by default. */
  readonly seed?: number | undefined;
  /** Fraction of the tokens, from the start of the text, to train on; in (0, 1), 0.9 by default. */
  readonly trainFraction?: number | undefined;
}

/** Target that the loss ignores. */
const IGNORED = -1;

/**
 * Tokens of a text, split as in nanoGPT: the first floor(n · trainFraction) are the
 * training split, the rest the validation split.
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
  /** Tokens per window, T. */
  readonly blockSize: number;
  /** Windows per batch, B. */
  readonly batchSize: number;
  /** Largest token of the text; a model trained on the text needs a larger `vocabSize`. */
  readonly largestToken: number;
  readonly #splits: Readonly<Record<Split, Tokens>>;
  readonly #random: CounterRandom;

  /**
   * Splits the tokens.
   *
   * @param tokens the whole text, shape (N); not copied
   * @throws {RangeError} if an option is out of range, if a token is negative, or
   * if the text is too short for one training window (T + 1 tokens) and one
   * validation target (2 tokens)
   */
  constructor(tokens: Tokens, options: DatasetOptions) {
    const { blockSize, batchSize, seed = 0, trainFraction = 0.9 } = options;
    const action = "create Dataset";
    checkWithin(positive, action, { blockSize, batchSize });
    checkWithin(word, action, { seed });
    checkWithin({ above: 0, below: 1 }, action, { trainFraction });
    if (!suffices(tokens.length, blockSize, trainFraction)) {
      throw cannotCreate(
        `the text has ${tokens.length} tokens, blockSize ${blockSize} ` +
          `needs at least ${fewestTokens(blockSize, trainFraction)} ` +
          `(${blockSize + 1} to train on and 2 to validate on)`,
        { fields: ["blockSize"] },
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

  /** Returns the number of tokens in a split. A split has one target fewer than tokens. */
  size(split: Split): number {
    return this.#splits[split].length;
  }

  /**
   * Returns the random windows of one training step, drawn with replacement. The
   * result is a pure function of (seed, step, microStep). The micro-batches of a
   * step, concatenated, equal one larger batch with the same seed.
   *
   * @param step an integer in [0, 2^32)
   * @param microStep index of the micro-batch in the step, an integer from 0
   * @returns tokens and targets, both (B, T); no target is -1
   * @throws {RangeError} if step or microStep is out of range
   */
  batch(step: number, microStep = 0): Batch {
    checkWithin(word, "draw a batch", { step });
    const most = Math.floor(2 ** 32 / this.batchSize) - 1;
    checkWithin({ ...word, most }, "draw a batch", { microStep });
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
   * Cuts a split into consecutive windows that do not overlap. Each target of the
   * split occurs exactly once, so an evaluation is exhaustive and repeatable.
   *
   * @param options.maxBatches largest number of batches, at least 1; their windows
   * are spread evenly over the split and are the same at each call
   * @returns batches of (B, T); rows or row ends of the last batch may have no targets
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
 * Cuts a whole text into consecutive windows that do not overlap. Each token but the first is a
 * target exactly once. Use it to measure a text that is not trained on;
 * {@linkcode Dataset.evalBatches} cuts a split in the same way.
 *
 * @param tokens the text, shape (N)
 * @param options.blockSize tokens per window, T; at least 1
 * @param options.batchSize windows per batch, B; at least 1
 * @param options.maxBatches largest number of batches, at least 1; their windows are spread
 * evenly over the text and are the same at each call
 * @returns batches of (B, T); rows or row ends of the last batch may have no targets
 * @throws {RangeError} if an option is out of range, or if the text has fewer than 2 tokens
 */
export function evalWindows(
  tokens: Tokens,
  { blockSize, batchSize, maxBatches }: {
    readonly blockSize: number;
    readonly batchSize: number;
    readonly maxBatches?: number | undefined;
  },
): Iterable<EvalBatch> {
  const action = "cut eval batches";
  checkWithin(positive, action, { blockSize, batchSize });
  if (maxBatches !== undefined) checkWithin(positive, action, { maxBatches });
  if (tokens.length < 2) {
    const reason = `the text has ${tokens.length} tokens, needs at least 2`;
    throw refusal(RangeError, action, reason);
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
 * Returns how many batches of {@linkcode evalWindows} measure at most `limit` tokens of a text: at least one, and
 * all batches if the text has no more than `limit` tokens.
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

/** Returns how many tokens of a text the batches of {@linkcode batchesWithin} measure. */
export function tokensWithin(
  limit: number,
  text: { readonly length: number },
  shape: { readonly blockSize: number; readonly batchSize: number },
): number {
  const most = batchesWithin(limit, text, shape) * shape.batchSize *
    shape.blockSize;
  return Math.min(text.length - 1, most);
}

/** Returns the number of windows of a text with `tokens` tokens, the first of which is not a target. */
function windowCount(tokens: number, blockSize: number): number {
  return Math.ceil((tokens - 1) / blockSize);
}

/** Returns the largest token. Throws if a token is negative, since -1 means "no target". */
function largestToken(tokens: Tokens): number {
  let largest = 0;
  // A loop over indices: an iterator takes four times as long, which is seconds for a gigabyte.
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at]!;
    if (token < 0) {
      throw cannotCreate(`token ${token} is below 0`);
    }
    if (token > largest) largest = token;
  }
  return largest;
}

/** Returns the number of tokens in the training split, which comes first in the text. */
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

/** Returns the smallest sufficient length. The quotients may be off by one, so a search corrects them. */
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
