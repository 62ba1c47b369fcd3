/** Sampling on the host, for libraries that are asked for the 10 best logits only. */

/** Draws an id for each row of 10 logits, at temperature 0.9. */
export function drawOf10(
  best: ArrayLike<number>,
  which: ArrayLike<number>,
): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: best.length / 10 }, (_, row) => {
    const begin = 10 * row; // the largest of the row: they come in order
    const weights = Array.from(
      { length: 10 },
      (_, i) => Math.exp((best[begin + i]! - best[begin]!) / 0.9),
    );
    let rest = Math.random() * weights.reduce((a, b) => a + b);
    const chosen = weights.findIndex((weight) => (rest -= weight) < 0);
    return which[begin + Math.max(chosen, 0)]!;
  });
}
