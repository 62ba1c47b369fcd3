/** Which outcomes no other one beats in everything. */

import { type Outcome, sawFuture } from "../outcome.ts";

/** An outcome with a loss that means something. */
export type Finished = Outcome & { readonly valLoss: number };

/** Returns those outcomes that have a loss and whose models did not see the future. */
export function finished(outcomes: readonly Outcome[]): Finished[] {
  return outcomes.filter((outcome): outcome is Finished =>
    outcome.valLoss !== null && !sawFuture(outcome)
  );
}

/**
 * The Pareto front: outcomes to which no other one has a lower loss at the same cost or less.
 * From the cheapest to the dearest; of equals the first.
 *
 * @param cost what is to be little; parameters if left out
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
 * As many outcomes as asked for, front by front: what is left when a front is taken away has
 * a front of its own. Of a front that does not fit, those spread evenly over it.
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
