/**
 * From logits to a token: the distribution that temperature, top-k, top-p, min-p
 * and repetition penalty leave, and a repeatable draw from it. Float64 throughout.
 *
 * An excluded token has logit -inf and so probability exactly 0; it is never
 * given logit 0, which would leave it a share. Rows of a batch never meet: each
 * is reduced and drawn by itself. Nothing here knows a model or a tokenizer.
 */

import { checkSeed, CounterRandom, Purpose } from "../../kernels/random.ts";

/** How a {@linkcode Sampler} chooses. What is left out does not act. */
export interface SamplerOptions {
  /** Divides the logits; above 0, or 0 for the most probable token (greedy). 1 if left out. */
  readonly temperature?: number | undefined;
  /** Keep the k largest logits, ties by index; an integer of at least 1, above V keeps all. */
  readonly topK?: number | undefined;
  /**
   * Keep the most probable tokens until their sum reaches p, the one that
   * crosses included (Holtzman et al., arXiv 1904.09751); 1 or more keeps all,
   * 0 or less the first.
   */
  readonly topP?: number | undefined;
  /** Keep tokens with at least minP of the largest probability (arXiv 2407.01082); in [0, 1]. */
  readonly minP?: number | undefined;
  /**
   * Makes tokens of the history less likely: positive logits are divided by it,
   * negative ones multiplied (Keskar et al., arXiv 1909.05858, section 4.1).
   * Above 0; 1 changes nothing.
   */
  readonly repetitionPenalty?: number | undefined;
  /** Chooses the draws; an integer in [0, 2^32), 0 if left out. */
  readonly seed?: number | undefined;
}

/** Logits of one row, shape (V), or of several, shape (rows, V) row-major. */
export type Logits = Float32Array | Float64Array;

/**
 * Chooses tokens. The order is: repetition penalty, temperature, top-k, top-p
 * (of what top-k left), min-p. A draw is a pure function of the distribution and
 * of (seed, step, row).
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Sampler } from "@lm/core";
 *
 * const sampler = new Sampler({ temperature: 0.9, topK: 2, seed: 7 });
 * const logits = Float32Array.of(1, 3, -2, 3); // V = 4
 * assertEquals(sampler.probabilities(logits), Float64Array.of(0, 0.5, 0, 0.5));
 * const id = sampler.sample(logits, { step: 0 }); // 1 or 3, always the same
 * assertEquals(id, sampler.sample(logits, { step: 0 }));
 * ```
 */
export class Sampler {
  readonly #temperature: number;
  readonly #topK: number | undefined;
  readonly #topP: number | undefined;
  readonly #minP: number | undefined;
  readonly #repetitionPenalty: number | undefined;
  readonly #random: CounterRandom;
  /** Working memory, shape (V): a batch draws thousands of tokens a second. */
  #scores = new Float64Array();
  #copy = new Float64Array();

  /**
   * Fixes how tokens are chosen.
   *
   * @throws {RangeError} if an option is out of its range
   */
  constructor(options: SamplerOptions = {}) {
    checkOptions(options);
    this.#temperature = options.temperature ?? 1;
    this.#topK = options.topK;
    this.#topP = options.topP;
    this.#minP = options.minP;
    this.#repetitionPenalty = options.repetitionPenalty;
    this.#random = new CounterRandom(options.seed ?? 0, Purpose.sample);
  }

  /**
   * The distribution a token is drawn from.
   *
   * @param logits shape (V); -inf excludes a token
   * @param history ids in [0, V) that the repetition penalty acts on; each counts once
   * @returns shape (V), sums to 1, exactly 0 for every excluded token
   * @throws {RangeError} if a logit is NaN or +inf, if all are -inf, or if an id
   * of the history is not in the vocabulary
   */
  probabilities(logits: Logits, history: ArrayLike<number> = []): Float64Array {
    return this.#distribution(logits, history).slice();
  }

  /** {@linkcode Sampler.probabilities}, in memory that the next call uses again. */
  #distribution(logits: Logits, history: ArrayLike<number>): Float64Array {
    if (this.#scores.length !== logits.length) {
      this.#scores = new Float64Array(logits.length);
      this.#copy = new Float64Array(logits.length);
    }
    const scores = this.#scores;
    scores.set(logits);
    this.#penalise(scores, history);
    const best = checkedArgmax(scores);
    if (this.#temperature === 0) {
      scores.fill(0);
      scores[best] = 1;
      return scores;
    }
    const max = scores[best]!;
    this.#exclude(scores, max);
    this.#weigh(scores, max);
    const total = sum(scores);
    for (let id = 0; id < scores.length; id++) scores[id]! /= total;
    return scores;
  }

  /**
   * Draws one token.
   *
   * @param logits shape (V); -inf excludes a token
   * @param options.step the token's number in its text, an integer in [0, 2^32)
   * @param options.row its row in a batch; an integer in [0, 2^32), 0 if left out
   * @param options.history ids that the repetition penalty acts on
   * @returns an id in [0, V) whose probability is above 0
   * @throws {RangeError} as {@linkcode Sampler.probabilities} does
   */
  sample(
    logits: Logits,
    options: {
      readonly step: number;
      readonly row?: number | undefined;
      readonly history?: ArrayLike<number> | undefined;
    },
  ): number {
    const { step, row = 0, history = [] } = options;
    checkCounter("step", step);
    checkCounter("row", row);
    const probabilities = this.#distribution(logits, history);
    return inverseCumulative(probabilities, this.#random.uniform(step, row));
  }

  /**
   * Draws one token for each row, the one {@linkcode Sampler.sample} draws for
   * that row alone.
   *
   * @param logits shape (rows, V) row-major
   * @param options.rows the number of rows, at least 1
   * @param options.step the number of these tokens in their texts
   * @param options.histories for each row the ids that the repetition penalty acts on
   * @returns shape (rows), ids in [0, V)
   * @throws {RangeError} if the logits or histories are not so many rows, or as
   * {@linkcode Sampler.probabilities} does
   */
  sampleBatch(
    logits: Logits,
    options: {
      readonly rows: number;
      readonly step: number;
      readonly histories?: ReadonlyArray<ArrayLike<number>> | undefined;
    },
  ): Int32Array {
    const { rows, step, histories } = options;
    const vocabSize = logits.length / rows;
    if (!Number.isInteger(rows) || rows < 1 || !Number.isInteger(vocabSize)) {
      throw new RangeError(
        `Cannot sample: ${logits.length} logits are not ${rows} equal rows`,
      );
    }
    if (histories !== undefined && histories.length !== rows) {
      throw new RangeError(
        `Cannot sample: ${histories.length} histories for ${rows} rows`,
      );
    }
    return Int32Array.from(
      { length: rows },
      (_, row) =>
        this.sample(logits.subarray(row * vocabSize, (row + 1) * vocabSize), {
          step,
          row,
          history: histories?.[row] ?? [],
        }),
    );
  }

  #penalise(scores: Float64Array, history: ArrayLike<number>): void {
    const penalty = this.#repetitionPenalty;
    if (penalty === undefined) return;
    for (const id of new Set(Array.from(history))) {
      const score = scores[id];
      if (score === undefined) {
        throw new RangeError(
          `Cannot sample: id ${id} of the history is not in a vocabulary of ${scores.length}`,
        );
      }
      scores[id] = score > 0 ? score / penalty : score * penalty;
    }
  }

  /** Gives the tokens that top-k, top-p and min-p leave out the score -inf. */
  #exclude(scores: Float64Array, max: number): void {
    if (this.#topK !== undefined) this.#keepLargest(scores, this.#topK);
    if (this.#topP !== undefined && this.#topP < 1) {
      const weights = scores.slice();
      this.#weigh(weights, max);
      const enough = this.#topP * sum(weights);
      // Ranked by score: weights may have been rounded to equality.
      const ranked = scores.slice().sort().reverse();
      this.#weigh(ranked, max);
      this.#keepLargest(scores, reach(ranked, enough));
    }
    if (this.#minP !== undefined) {
      for (let id = 0; id < scores.length; id++) {
        // The largest weight is 1.
        if (this.#weight(scores[id]!, max) < this.#minP) scores[id] = -Infinity;
      }
    }
  }

  /** Gives all but the `count` largest scores -inf; of equal ones the first are kept. */
  #keepLargest(scores: Float64Array, count: number): void {
    if (count >= scores.length) return;
    this.#copy.set(scores);
    const least = nthSmallest(this.#copy, scores.length - count);
    let equals = count; // that are kept of those equal to the least
    for (let id = 0; id < scores.length; id++) {
      if (scores[id]! > least) equals--;
    }
    for (let id = 0; id < scores.length; id++) {
      const score = scores[id]!;
      if (score > least || (score === least && equals-- > 0)) continue;
      scores[id] = -Infinity;
    }
  }

  /** Replaces every score by its weight. */
  #weigh(scores: Float64Array, max: number): void {
    for (let id = 0; id < scores.length; id++) {
      scores[id] = this.#weight(scores[id]!, max);
    }
  }

  /** A probability before all are divided by their sum. Only differences matter to the softmax. */
  #weight(score: number, max: number): number {
    return score === -Infinity
      ? 0
      : Math.exp((score - max) / this.#temperature);
  }
}

/** How many weights it takes for their sum to reach `enough`. */
function reach(weights: Float64Array, enough: number): number {
  let cumulative = 0;
  for (let rank = 0; rank < weights.length; rank++) {
    cumulative += weights[rank]!;
    if (cumulative >= enough) return rank + 1;
  }
  return weights.length; // enough so near to all that rounding kept the sum below it
}

/** What stands at `n`, counted from 0, once the values are sorted; they are only partly so after it (Hoare's selection). */
function nthSmallest(values: Float64Array, n: number): number {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const pivot = values[(low + high) >>> 1]!;
    let i = low;
    let j = high;
    while (i <= j) {
      while (values[i]! < pivot) i++;
      while (values[j]! > pivot) j--;
      if (i > j) break;
      const value = values[i]!;
      values[i++] = values[j]!;
      values[j--] = value;
    }
    if (n <= j) high = j;
    else if (n >= i) low = i;
    else break;
  }
  return values[n]!;
}

/** The first id of the largest score, after a check that a softmax is possible. */
function checkedArgmax(scores: Float64Array): number {
  let best = 0;
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id]!;
    if (Number.isNaN(score) || score === Infinity) {
      throw new RangeError(`Cannot sample: the logit of id ${id} is ${score}`);
    }
    if (score > scores[best]!) best = id;
  }
  if (scores.length === 0) {
    throw new RangeError("Cannot sample: there are 0 logits");
  }
  if (scores[best] === -Infinity) {
    throw new RangeError(
      `Cannot sample: all ${scores.length} logits are -Infinity`,
    );
  }
  return best;
}

/** The first id at which the cumulative probability exceeds u, u in [0, 1). */
function inverseCumulative(probabilities: Float64Array, u: number): number {
  let cumulative = 0;
  let possible = 0;
  for (let id = 0; id < probabilities.length; id++) {
    const probability = probabilities[id]!;
    if (probability === 0) continue;
    possible = id;
    cumulative += probability;
    if (u < cumulative) break;
  }
  return possible; // if rounding left the sum at or below u: the last possible one
}

function sum(values: Float64Array): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i]!;
  return total;
}

function checkOptions(options: SamplerOptions): void {
  const {
    temperature = 1,
    topK = 1,
    topP = 1,
    minP = 0,
    repetitionPenalty = 1,
    seed = 0,
  } = options;
  const refuse = (reason: string) =>
    new RangeError(`Cannot create Sampler: ${reason}`);
  if (!(temperature >= 0 && temperature < Infinity)) {
    throw refuse(
      `temperature (${temperature}) is not a number of at least 0\n` +
        "hint: 0 always takes the most probable token",
    );
  }
  if (!Number.isInteger(topK) || topK < 1) {
    throw refuse(
      `topK (${topK}) is not an integer of at least 1\nhint: leave it out to keep all tokens`,
    );
  }
  if (Number.isNaN(topP)) throw refuse("topP is NaN");
  if (!(minP >= 0 && minP <= 1)) {
    throw refuse(`minP (${minP}) is not between 0 and 1`);
  }
  if (!(repetitionPenalty > 0 && repetitionPenalty < Infinity)) {
    throw refuse(
      `repetitionPenalty (${repetitionPenalty}) is not a number above 0`,
    );
  }
  checkSeed(seed);
}

function checkCounter(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32) {
    throw new RangeError(
      `Cannot sample: ${name} (${value}) is not an integer from 0 to ${
        2 ** 32 - 1
      }`,
    );
  }
}
