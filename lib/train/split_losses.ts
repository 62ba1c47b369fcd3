/**
 * The losses of both splits of a dataset, as training measures them: of windows spread evenly over
 * a split, the same ones each time, as many as were asked for and as there is time for.
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

/** Tokens of the validation split that an evaluation measures at most, if nothing else is said. */
export const EVAL_TOKENS: number = 2 ** 18;

/** The share of the time left that an evaluation is planned to take. */
const PLANNED = 0.8;

/** The share of the time left from which on an evaluation is timed before it is planned. */
const PROBED = 0.1;

/** How much longer a batch may take that has begun, in milliseconds. */
const LATE_MS = 500;

/** The longest that a timer can wait, in milliseconds. */
const MOST_MS = 2 ** 31 - 1;

/** What an evaluation found. */
export type SplitLosses = Omit<EvalEvent, "event" | "step">;

/** Evaluates a model on both splits of a dataset. */
export class SplitLossMeter {
  readonly #model: Model;
  readonly #dataset: Dataset;
  readonly #charsPerToken: number | undefined;
  /** Batches of a whole evaluation. */
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
   * Milliseconds that an evaluation should take.
   *
   * @param guess milliseconds of a batch, for as long as none was measured
   */
  expectedMs(guess: number): number {
    const { val, train } = this.#batches;
    return (val + train) * (this.#msPerBatch ?? guess);
  }

  /**
   * Measures both losses.
   *
   * @param options.until when it has to be over, on the clock of `performance.now()`: fewer windows are
   * measured if there is no time for all
   * @param options.guess as in {@linkcode SplitLossMeter.expectedMs}
   * @returns undefined if there was no time for a batch of each split
   * @throws the signal's reason if that is aborted
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

  /** Finds out how long a batch takes: the second one, as the first waits for the compiler. */
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

  /** The loss of so many batches, or of as many as there is time for. */
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

/** What ends an evaluation. */
interface Limit {
  readonly signal: AbortSignal;
  /** When no batch is begun any more, on the clock of `performance.now()`. */
  readonly until: number;
}

/** What an evaluation measured. */
interface Seen {
  batches: number;
  tokens: number;
  /** Of the tokens. */
  characters: number;
}

/** Yields batches while there is time, at least one. */
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
