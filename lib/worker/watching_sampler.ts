/** A sampler that remembers what else it could have chosen. */

import { type Logits, Sampler } from "../text/sampler.ts";

/** Draws the tokens that a {@linkcode Sampler} draws, and keeps the distribution of the last one. */
export class WatchingSampler extends Sampler {
  /** Probabilities that the model gave each token, shape (V), before temperature and top-k. */
  probabilitiesOfLast: Float64Array = new Float64Array();
  readonly #plain = new Sampler();

  override sampleBatch(
    logits: Logits,
    options: Parameters<Sampler["sampleBatch"]>[1],
  ): Int32Array {
    this.probabilitiesOfLast = this.#plain.probabilities(logits);
    return super.sampleBatch(logits, options);
  }
}
