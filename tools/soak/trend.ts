/** Estimates the growth of a series of measurements in spite of its noise. */

/** Returns the middle one of the values, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[half]!
    : (sorted[half - 1]! + sorted[half]!) / 2;
}

/**
 * Returns the growth of values taken at equal distances, from the first to the last, relative to
 * their median: 0.02 is 2 %. The line through them has the median of the slopes of all
 * pairs (Theil 1950, Sen 1968), so that a minority of outliers, such as
 * the moments before a garbage collection, does not tilt it.
 *
 * @param values at least two
 * @returns negative where they fell
 */
export function growth(values: readonly number[]): number {
  const slopes = values.flatMap((later, j) =>
    values.slice(0, j).map((earlier, i) => (later - earlier) / (j - i))
  );
  return median(slopes) * (values.length - 1) / median(values);
}
