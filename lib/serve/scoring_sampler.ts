/** A sampler that remembers how likely its tokens were. */

import { type Logits, Sampler, type SamplerOptions } from "../text/sampler.ts";

/** A token that was drawn, and those that were likelier than most. */
export interface Score {
  readonly id: number;
  /** Natural logarithm of the probability that the model gave the token, before temperature and top-k. */
  readonly logprob: number;
  /** Entropy of the distribution that the model gave, in nats. */
  readonly entropy: number;
  /** The likeliest tokens, most probable first. */
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
}

/** Draws the tokens that a {@linkcode Sampler} draws, after given ones, and keeps a score of each. */
export class ScoringSampler extends Sampler {
  readonly #scores: Score[];
  readonly #count: number;
  readonly #given: readonly number[];

  /**
   * Creates a sampler.
   *
   * @param keeping.count candidates to keep for each token
   * @param keeping.scores list to which the score of each token is added
   * @param keeping.given tokens that are not drawn: the first ones of the text
   */
  constructor(
    options: SamplerOptions,
    keeping: {
      readonly count: number;
      readonly scores: Score[];
      readonly given: readonly number[];
    },
  ) {
    super(options);
    this.#count = keeping.count;
    this.#scores = keeping.scores;
    this.#given = keeping.given;
  }

  override sample(
    logits: Logits,
    options: Parameters<Sampler["sample"]>[1],
  ): number {
    const step = options.step - this.#given.length;
    const id = this.#given[options.step] ??
      super.sample(logits, { ...options, step });
    let max = -Infinity;
    for (const logit of logits) max = Math.max(max, logit);
    let [total, mean] = [0, 0]; // mean of logit - max, weighted
    for (const logit of logits) {
      const weight = Math.exp(logit - max);
      if (weight === 0) continue;
      total += weight;
      mean += weight * (logit - max);
    }
    const scored = (id: number) => ({
      id,
      logprob: logits[id]! - max - Math.log(total),
    });
    this.#scores.push({
      ...scored(id),
      entropy: Math.log(total) - mean / total,
      top: this.#likeliest(logits).map(scored),
    });
    return id;
  }

  /** Returns the ids of the largest logits; of equal ones the smaller id comes first. */
  #likeliest(logits: Logits): number[] {
    const best: number[] = [];
    for (let id = 0; id < logits.length && this.#count > 0; id++) {
      if (
        best.length === this.#count && logits[id]! <= logits[best.at(-1)!]!
      ) continue;
      const at = best.findIndex((other) => logits[id]! > logits[other]!);
      best.splice(at < 0 ? best.length : at, 0, id);
      if (best.length > this.#count) best.pop();
    }
    return best;
  }
}
