/**
 * Losses of both splits of a dataset during training. An evaluation measures the same evenly spread
 * windows of a split each time, fewer if time is short.
 */

import {
  batchesWithin,
  type Dataset,
  type EvalBatch,
} from "../text/dataset.ts";
import type { EvalEvent } from "./events.ts";
import type { Model } from "../model/model.ts";
import { charactersIn } from "../text/tokenizer.ts";
import type { TrainerExtras } from "./extras.ts";

/** Default for the most validation tokens in an evaluation. */
export const EVAL_TOKENS: number = 2 ** 18;

/** Fraction of the remaining time that an evaluation is planned to take. */
const PLANNED = 0.8;

/** Fraction of the remaining time above which a batch is timed before an evaluation is planned. */
const PROBED = 0.1;

/** Time that a started batch may run past the limit, in milliseconds. */
const LATE_MS = 500;

/** Longest delay of a timer, in milliseconds. */
const MOST_MS = 2 ** 31 - 1;

/** Results of an evaluation. */
export type SplitLosses = Omit<EvalEvent, "kind" | "step">;

/** Evaluates a model on both splits of a dataset. */
export class SplitLossMeter {
  readonly #model: Model;
  readonly #dataset: Dataset;
  readonly #charsPerToken: number | undefined;
  /** Number of batches in a full evaluation. */
  readonly #batches: { readonly val: number; readonly train: number };
  #msPerBatch: number | undefined;

  constructor(
    model: Model,
    dataset: Dataset,
    { evalTokens = EVAL_TOKENS, trainEvalBatches = 16, charsPerToken }:
      TrainerExtras,
  ) {
    this.#model = model;
    this.#dataset = dataset;
    this.#charsPerToken = charsPerToken;
    const within = (split: "val" | "train", limit: number) =>
      batchesWithin(limit, { length: dataset.size(split) }, dataset);
    this.#batches = {
      val: within("val", evalTokens),
      train: Math.min(trainEvalBatches, within("train", Infinity)),
    };
  }

  /**
   * Returns the estimated duration of a full evaluation in milliseconds.
   *
   * @param guess milliseconds per batch, used until a batch has been measured
   */
  expectedMs(guess: number): number {
    const { val, train } = this.#batches;
    return (val + train) * (this.#msPerBatch ?? guess);
  }

  /**
   * Measures both losses.
   *
   * @param options.until time limit on the clock of `performance.now()`; fewer windows are measured if
   * time is short
   * @param options.guess as in {@linkcode SplitLossMeter.expectedMs}
   * @returns undefined if time did not suffice for one batch of each split
   * @throws the reason of the signal if it is aborted
   */
  async measure({ signal, until = Infinity, guess = 0 }: {
    readonly signal?: AbortSignal | undefined;
    readonly until?: number;
    readonly guess?: number;
  }): Promise<SplitLosses | undefined> {
    const left = until - performance.now();
    if (left <= 0) return undefined;
    const late = left === Infinity
      ? undefined
      : AbortSignal.timeout(Math.min(left + LATE_MS, MOST_MS));
    const signals = [signal, late].filter((one) => one !== undefined);
    const options = { signal: AbortSignal.any(signals), until };
    try {
      if (this.expectedMs(guess) > PROBED * left) await this.#probe(options);
      return await this.#measure(options, guess);
    } catch (error) {
      if (late?.aborted && !signal?.aborted) return undefined;
      throw error;
    }
  }

  /** Measures the duration of a batch. Two batches run, since the first includes compilation. */
  async #probe(options: Limit): Promise<void> {
    for (let time = 0; time < 2 && this.#msPerBatch === undefined; time++) {
      const begun = performance.now();
      await this.#evaluate("val", 1, options);
      if (time === 1) this.#msPerBatch = performance.now() - begun;
    }
  }

  async #measure(options: Limit, guess: number): Promise<SplitLosses> {
    const begun = performance.now();
    const { val, train } = this.#batches;
    const room = PLANNED * (options.until - begun) / this.expectedMs(guess);
    const planned = (count: number) =>
      room >= 1 ? count : Math.max(1, Math.floor(count * room));
    const ofVal = (options.until - begun) * val / (val + train);
    const onVal = await this.#evaluate("val", planned(val), {
      ...options,
      until: begun + ofVal,
    });
    const onTrain = await this.#evaluate("train", planned(train), options);
    const batches = onVal.batches + onTrain.batches;
    this.#msPerBatch = (performance.now() - begun) / batches;
    const { tokens, characters } = onVal;
    const charsPerToken = this.#charsPerToken ??
      Math.max(1, characters) / tokens;
    return {
      trainLoss: onTrain.loss,
      valLoss: onVal.loss,
      bitsPerChar: onVal.loss / Math.LN2 / charsPerToken,
      tokens,
      ofTokens: this.#dataset.size("val") - 1,
    };
  }

  /** Evaluates at most `maxBatches` batches, fewer if time is short. */
  async #evaluate(
    split: "val" | "train",
    maxBatches: number,
    { signal, until }: Limit,
  ): Promise<Seen & { readonly loss: number }> {
    const seen: Seen = { batches: 0, tokens: 0, characters: 0 };
    const batches = inTime(
      this.#dataset.evalBatches(split, { maxBatches }),
      until,
      (batch) => {
        seen.batches++;
        seen.tokens += batch.count;
        seen.characters += charactersIn(this.#model.tokenizer, batch.targets);
      },
    );
    return {
      loss: await this.#model.evaluate(batches, { signal }),
      ...seen,
    };
  }
}

/** Conditions that end an evaluation. */
interface Limit {
  readonly signal: AbortSignal;
  /** Time after which no batch starts, on the clock of `performance.now()`. */
  readonly until: number;
}

/** Counts of an evaluation. */
interface Seen {
  batches: number;
  tokens: number;
  /** Characters that the measured tokens begin. */
  characters: number;
}

/** Yields batches until a time limit, at least one batch. */
function* inTime(
  batches: Iterable<EvalBatch>,
  until: number,
  onBatch: (batch: EvalBatch) => void,
): Generator<EvalBatch> {
  let isFirst = true;
  for (const batch of batches) {
    if (!isFirst && performance.now() > until) return;
    isFirst = false;
    onBatch(batch);
    yield batch;
  }
}
