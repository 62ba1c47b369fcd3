/** The Pareto front of a list of outcomes: those that no other outcome beats in every respect. */

import { type Outcome, sawFuture } from "../outcome.ts";

/** An outcome with a loss that means something. */
export type Finished = Outcome & { readonly valLoss: number };

/** Returns the outcomes that have a loss and whose models did not see the future. */
export function finished(outcomes: readonly Outcome[]): Finished[] {
  return outcomes.filter((outcome): outcome is Finished =>
    outcome.valLoss !== null && !sawFuture(outcome)
  );
}

/**
 * Returns the Pareto front, from the cheapest outcome to the dearest. No other outcome has a lower
 * loss at the same cost or less than one on the front; of equal outcomes the first is kept.
 *
 * @param cost the quantity to keep small; parameters if left out
 */
export function paretoFront(
  outcomes: readonly Finished[],
  cost: (outcome: Finished) => number = ({ parameters }) => parameters,
): Finished[] {
  const sorted = outcomes.toSorted((a, b) =>
    cost(a) - cost(b) || a.valLoss - b.valLoss
  );
  let lowest = Infinity;
  return sorted.filter(({ valLoss }) => {
    const better = valLoss < lowest;
    if (better) lowest = valLoss;
    return better;
  });
}

/**
 * Returns the requested number of outcomes, front by front: after a front is removed, the
 * remaining outcomes form another. Of a front with too many outcomes, evenly spread ones are
 * taken.
 */
export function survivors(
  outcomes: readonly Finished[],
  count: number,
): Finished[] {
  const kept: Finished[] = [];
  let rest = outcomes;
  while (kept.length < count && rest.length > 0) {
    const front = paretoFront(rest);
    rest = rest.filter((outcome) => !front.includes(outcome));
    const room = count - kept.length;
    kept.push(...(front.length <= room ? front : spread(front, room)));
  }
  return kept.toSorted((a, b) => a.parameters - b.parameters);
}

function spread<Item>(items: readonly Item[], count: number): Item[] {
  if (count === 1) return [items[Math.floor(items.length / 2)]!];
  const step = (items.length - 1) / (count - 1);
  return Array.from({ length: count }, (_, i) => items[Math.round(i * step)]!);
}
