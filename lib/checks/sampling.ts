/** Checks that a sampler excludes tokens: an excluded token must have probability 0, not logit 0. */

import { CounterRandom, Purpose } from "../../kernels/random.ts";
import { Sampler, type SamplerOptions } from "../text/sampler.ts";
import { type CheckGroup, type Finding, verdict } from "./verdict.ts";

/** Size of the vocabulary, and number of draws for each set of options. */
const V = 40;
const DRAWS = 2000;

/** Sampler options, and the tokens that each keeps, given all tokens by falling probability. */
const ways: Readonly<
  Record<string, {
    readonly options: SamplerOptions;
    readonly left: (sorted: readonly number[]) => number;
  }>
> = {
  "top-k": { options: { topK: 5 }, left: () => 5 },
  "top-p": {
    options: { topP: 0.8 },
    left: (sorted) => {
      let sum = 0;
      return 1 + sorted.findIndex((p) => (sum += p) >= 0.8);
    },
  },
  "min-p": {
    options: { minP: 0.1 },
    left: (sorted) => sorted.filter((p) => p >= 0.1 * sorted[0]!).length,
  },
  "greedy": { options: { temperature: 0 }, left: () => 1 },
};

/**
 * Returns one check for each set of sampler options.
 *
 * @param make creates a sampler
 */
export function samplingChecks(
  make: (options: SamplerOptions) => Pick<Sampler, "sample"> = (options) =>
    new Sampler(options),
): CheckGroup {
  return {
    name: "sampling",
    meaning:
      "no token is drawn that top-k, top-p, min-p or temperature 0 excludes.",
    async *run() {
      for (const [name, { options, left }] of Object.entries(ways)) {
        yield await verdict(
          name,
          () => checkDraws(make({ ...options, seed: 1 }), left),
        );
      }
    },
  };
}

function checkDraws(
  sampler: Pick<Sampler, "sample">,
  left: (sorted: readonly number[]) => number,
): Finding {
  const random = new CounterRandom(1, Purpose.init);
  const logits = Float64Array.from(
    { length: V },
    (_, id) => 3 * random.normal(0, id) - 5,
  );
  const ranked = Array.from(logits.keys())
    .sort((a, b) => logits[b]! - logits[a]!);
  const weights = ranked.map((id) => Math.exp(logits[id]!));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const kept = new Set(
    ranked.slice(0, left(weights.map((weight) => weight / total))),
  );
  let outside = 0;
  for (let step = 0; step < DRAWS; step++) {
    if (!kept.has(sampler.sample(logits, { step }))) outside++;
  }
  const numbers = { outside, draws: DRAWS, kept: kept.size };
  const where = kept.size === 1
    ? "not the likeliest token"
    : `outside the ${kept.size} likeliest tokens`;
  const found = `${outside} of ${DRAWS} draws are ${where}`;
  return outside === 0 ? { status: "ok", found, numbers } : {
    status: "failed",
    found,
    hint:
      "excluded tokens must get logit -inf: with logit 0 they are still sampled",
    numbers,
  };
}
