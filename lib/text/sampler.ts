/**
 * Sampling: turns logits into a distribution (temperature, top-k, top-p, min-p,
 * repetition penalty) and draws a token from it repeatably. All arithmetic is float64.
 *
 * An excluded token gets logit -inf and therefore probability 0. Logit 0 would
 * leave the token a share. Rows of a batch are sampled independently. This file
 * does not depend on a model or a tokenizer.
 */

import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { checkWithin, positive, word } from "../range.ts";
import { refusal, refuser } from "../refusal.ts";

const cannotSample = refuser(RangeError, "sample");

/** Number of candidates up to which each is inserted into those found before, which takes less time than a selection. */
const MOST_FEW = 32;

/** Options of a {@linkcode Sampler}. An omitted option has no effect. */
export interface SamplerOptions {
  /** Divisor of the logits, above 0; or 0 to pick the most probable token (greedy). 1 by default. */
  readonly temperature?: number | undefined;
  /** Number of largest logits to keep, an integer of at least 1; ties go to the smaller id, and values above V keep all. */
  readonly topK?: number | undefined;
  /**
   * Probability mass to keep: the most probable tokens until their sum reaches p,
   * including the token that crosses p (Holtzman et al., arXiv 1904.09751). 1 or
   * more keeps all tokens; 0 or less keeps only the most probable one.
   */
  readonly topP?: number | undefined;
  /** Smallest probability to keep, as a fraction of the largest one (arXiv 2407.01082); in [0, 1]. */
  readonly minP?: number | undefined;
  /**
   * Penalty on tokens of the history: their positive logits are divided by it, their
   * negative logits multiplied (Keskar et al., arXiv 1909.05858, section 4.1).
   * Above 0; 1 has no effect.
   */
  readonly repetitionPenalty?: number | undefined;
  /** Seed of the draws, an integer in [0, 2^32); 0 by default. */
  readonly seed?: number | undefined;
}

/** Logits of one row, shape (V), or of several, shape (rows, V) row-major. */
export type Logits = Float32Array | Float64Array;

/**
 * Draws tokens from logits. The options apply in this order: repetition penalty,
 * temperature, top-k, top-p (on the tokens that top-k kept), min-p. A draw is a
 * pure function of the distribution and (seed, step, row).
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
  /** Options of the sampler. */
  readonly options: SamplerOptions;
  readonly #temperature: number;
  readonly #topK: number | undefined;
  readonly #topP: number | undefined;
  readonly #minP: number | undefined;
  readonly #repetitionPenalty: number | undefined;
  readonly #random: CounterRandom;
  /** Working memory, shape (V): a batch draws thousands of tokens a second. */
  #scores = new Float64Array();
  #copy = new Float64Array();
  /** Working memory for few candidates: their scores and ids. */
  readonly #kept = new Float64Array(MOST_FEW);
  readonly #ids = new Int32Array(MOST_FEW);

  /**
   * Creates a sampler.
   *
   * @throws {RangeError} if an option is out of its range
   */
  constructor(options: SamplerOptions = {}) {
    checkOptions(options);
    this.options = { ...options };
    this.#temperature = options.temperature ?? 1;
    this.#topK = options.topK;
    this.#topP = options.topP;
    this.#minP = options.minP;
    this.#repetitionPenalty = options.repetitionPenalty;
    this.#random = new CounterRandom(options.seed ?? 0, Purpose.sample);
  }

  /**
   * Returns the distribution that tokens are drawn from.
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

  /** Computes {@linkcode Sampler.probabilities} in memory that the next call overwrites. */
  #distribution(logits: Logits, history: ArrayLike<number>): Float64Array {
    const scores = this.#scoresOf(logits, history);
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
   * @param options.step index of the token in its text, an integer in [0, 2^32)
   * @param options.row row of the token in its batch, an integer in [0, 2^32); 0 by default
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
    checkWithin(word, "sample", { step, row });
    const u = this.#random.uniform(step, row);
    const few = this.#fewCandidates(logits.length);
    return few === undefined
      ? inverseCumulative(this.#distribution(logits, history), u)
      : this.#drawOf(few, this.#scoresOf(logits, history), u);
  }

  /**
   * Draws one token for each row: the token that {@linkcode Sampler.sample} draws
   * for that row alone.
   *
   * @param logits shape (rows, V) row-major
   * @param options.rows the number of rows, at least 1
   * @param options.step index of these tokens in their texts
   * @param options.histories for each row, the ids that the repetition penalty acts on
   * @returns shape (rows), ids in [0, V)
   * @throws {RangeError} if the logits or histories do not have `rows` rows, or as
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
      throw cannotSample(`${logits.length} logits are not ${rows} equal rows`);
    }
    if (histories !== undefined && histories.length !== rows) {
      throw cannotSample(`${histories.length} histories for ${rows} rows`);
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

  /** Copies logits into memory that the next call overwrites, and applies the repetition penalty. */
  #scoresOf(logits: Logits, history: ArrayLike<number>): Float64Array {
    if (this.#scores.length !== logits.length) {
      this.#scores = new Float64Array(logits.length);
      this.#copy = new Float64Array(logits.length);
    }
    const scores = this.#scores;
    scores.set(logits);
    this.#penalise(scores, history);
    return scores;
  }

  /** Returns the number of tokens that top-k keeps if they are few and nothing else excludes any. */
  #fewCandidates(vocabSize: number): number | undefined {
    const count = this.#topK ?? Infinity;
    const isPlain = this.#minP === undefined && (this.#topP ?? 1) >= 1;
    return isPlain && this.#temperature > 0 && count <= MOST_FEW &&
        count < vocabSize
      ? count
      : undefined;
  }

  /**
   * Draws one of the `count` tokens with the largest scores, the same as from {@linkcode Sampler.probabilities}, but in one
   * pass over the vocabulary.
   */
  #drawOf(count: number, scores: Float64Array, u: number): number {
    const max = scores[checkedArgmax(scores)]!;
    const kept = this.#kept;
    const ids = this.#ids;
    for (let i = 0; i < count; i++) {
      kept[i] = -Infinity;
      ids[i] = -1; // none, if that many are not excluded
    }
    // The largest scores so far, in ascending order; of equal ones the smaller id comes later.
    for (let id = 0; id < scores.length; id++) {
      const score = scores[id]!;
      if (score <= kept[0]!) continue;
      let rank = 1;
      for (; rank < count && kept[rank]! < score; rank++) {
        kept[rank - 1] = kept[rank]!;
        ids[rank - 1] = ids[rank]!;
      }
      kept[rank - 1] = score;
      ids[rank - 1] = id;
    }
    // Sums run in the order of ids.
    let total = 0;
    for (let i = 0; i < count; i++) {
      const id = ids[i]!;
      let at = i;
      for (; at > 0 && ids[at - 1]! > id; at--) ids[at] = ids[at - 1]!;
      ids[at] = id;
    }
    for (let i = 0; i < count; i++) {
      const score = ids[i]! < 0 ? -Infinity : scores[ids[i]!]!;
      total += kept[i] = this.#weight(score, max);
    }
    for (let i = 0; i < count; i++) kept[i]! /= total;
    return ids[inverseCumulative(kept.subarray(0, count), u)]!;
  }

  #penalise(scores: Float64Array, history: ArrayLike<number>): void {
    const penalty = this.#repetitionPenalty;
    if (penalty === undefined) return;
    for (const id of new Set(Array.from(history))) {
      const score = scores[id];
      if (score === undefined) {
        throw cannotSample(
          `id ${id} of the history is not in a vocabulary of ${scores.length}`,
        );
      }
      scores[id] = score > 0 ? score / penalty : score * penalty;
    }
  }

  /** Sets the scores of tokens that top-k, top-p and min-p exclude to -inf. */
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

  /** Sets all but the `count` largest scores to -inf; of equal scores the first are kept. */
  #keepLargest(scores: Float64Array, count: number): void {
    if (count >= scores.length) return;
    this.#copy.set(scores);
    const least = nthSmallest(this.#copy, scores.length - count);
    let equals = count; // how many scores equal to the smallest kept one are kept
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

  /** Returns the unnormalized probability of a score. The softmax depends only on differences of scores. */
  #weight(score: number, max: number): number {
    return score === -Infinity
      ? 0
      : Math.exp((score - max) / this.#temperature);
  }
}

/** Returns how many weights it takes for their sum to reach `enough`. */
function reach(weights: Float64Array, enough: number): number {
  let cumulative = 0;
  for (let rank = 0; rank < weights.length; rank++) {
    cumulative += weights[rank]!;
    if (cumulative >= enough) return rank + 1;
  }
  return weights.length; // rounding kept the sum of all weights just below `enough`
}

/** Returns the `n`-th smallest value, counted from 0, by Hoare's selection. The values are partly sorted afterwards. */
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

/** Returns the first id with the largest score. Throws if a softmax of the scores is undefined. */
function checkedArgmax(scores: Float64Array): number {
  let best = 0;
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id]!;
    if (Number.isNaN(score) || score === Infinity) {
      throw cannotSample(`the logit of id ${id} is ${score}`);
    }
    if (score > scores[best]!) best = id;
  }
  if (scores.length === 0) {
    throw cannotSample("there are 0 logits");
  }
  if (scores[best] === -Infinity) {
    throw cannotSample(`all ${scores.length} logits are -Infinity`);
  }
  return best;
}

/** Returns the first id at which the cumulative probability exceeds u, u in [0, 1). */
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
  return possible; // rounding left the sum at or below u: the last token of nonzero probability
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
  const action = "create Sampler";
  checkWithin(
    { least: 0 },
    action,
    { temperature },
    "0 always takes the most probable token",
  );
  checkWithin(positive, action, { topK }, "leave it out to keep all tokens");
  if (Number.isNaN(topP)) {
    throw refusal(RangeError, action, "topP is NaN", { fields: ["topP"] });
  }
  checkWithin({ least: 0, most: 1 }, action, { minP });
  checkWithin({ above: 0 }, action, { repetitionPenalty });
  checkWithin(word, action, { seed });
}
