/** Finds the known word that a misspelt one was probably meant to be. */

/**
 * Returns the candidate with the fewest letters added, left out, exchanged or swapped
 * with their neighbour; the first of equals. Capitals, and `_` for `-`, count for nothing.
 *
 * @returns undefined if no candidate shares more than half of its letters
 */
export function nearest(
  word: string,
  candidates: Iterable<string>,
): string | undefined {
  const plain = plainForm(word);
  let best: string | undefined;
  let fewest = Infinity;
  for (const candidate of candidates) {
    const other = plainForm(candidate);
    const edits = distance(plain, other);
    const most = Math.ceil(Math.max(plain.length, other.length) / 2);
    if (edits < fewest && edits < most) {
      best = candidate;
      fewest = edits;
    }
  }
  return best;
}

/**
 * Returns a hint that suggests the nearest candidate, or else `otherwise`.
 *
 * @param prefix text before the candidate in the hint
 */
export function suggestion(
  word: string,
  candidates: Iterable<string>,
  otherwise: string,
  prefix = "",
): string {
  const near = nearest(word, candidates);
  return near === undefined ? otherwise : `did you mean ${prefix}${near}?`;
}

function plainForm(word: string): string {
  return word.replace(/(?<=[a-z])[A-Z]/g, "-$&").replaceAll("_", "-")
    .toLowerCase();
}

/** Returns Damerau's distance in its restricted form (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const exchange = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(row[j - 1]! + 1, above[j]! + 1, exchange);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j]!, before[j - 2]! + 1);
      }
    }
    [before, above] = [above, row];
  }
  return above[b.length]!;
}
