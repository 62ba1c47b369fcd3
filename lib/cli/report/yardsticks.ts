/** Losses that counting alone reaches on a run's text: a model has to beat them. */

import { NgramModel } from "../../text/ngram.ts";
import type { Tokens } from "../../text/tokens.ts";

/** A model that counts, and its loss on the validation split in nats per token. */
export interface Yardstick {
  readonly name: string;
  readonly loss: number;
}

/** The models, by the number of tokens that count. */
const orders: readonly (readonly [order: number, name: string])[] = [
  [1, "unigram"],
  [2, "bigram"],
  [3, "trigram"],
  [5, "5-gram"],
];

/** Most tokens counted: each new context costs memory. */
export const MOST_COUNTED = 4_000_000;

/**
 * Fits n-gram models on one split and measures them on the other.
 *
 * @param tokens of both splits; of long ones what lies next to the cut
 */
export function yardsticksOf(
  tokens: { readonly train: Tokens; readonly val: Tokens },
  vocabSize: number,
  options: { readonly signal?: AbortSignal } = {},
): Yardstick[] {
  const train = tokens.train.subarray(-MOST_COUNTED);
  const val = tokens.val.subarray(0, MOST_COUNTED);
  return [
    { name: "uniform", loss: Math.log(vocabSize) },
    ...orders.map(([order, name]) => ({
      name,
      loss: NgramModel.fit(train, { order, vocabSize, ...options })
        .loss(val, options),
    })),
  ];
}

/** Describes in words where a loss lies among the yardsticks. */
export function placeAmong(
  yardsticks: readonly Yardstick[],
  loss: number,
): string {
  const sorted = yardsticks.toSorted((a, b) => b.loss - a.loss);
  const beaten = sorted.filter((yardstick) => yardstick.loss > loss).at(-1);
  const next = sorted.find((yardstick) => yardstick.loss <= loss);
  const named = ({ name, loss }: Yardstick) => `${name} (${loss.toFixed(2)})`;
  if (beaten === undefined) return `above ${named(sorted[0]!)}`;
  return next === undefined
    ? `below ${named(beaten)}, the best that counting does here`
    : `between ${named(beaten)} and ${named(next)}`;
}
