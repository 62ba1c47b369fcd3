/** Means of few numbers, with confidence intervals. */

/** A mean with its 95 % confidence interval, mean ± margin. */
export interface Estimate {
  /** The mean. */
  readonly mean: number;
  /** Half the interval's width; NaN for fewer than two numbers. */
  readonly margin: number;
  /** How many numbers there are. */
  readonly count: number;
}

/**
 * Returns the two-sided 95 % quantile of Student's t: the t for which |T| stays below t with probability 0.95.
 *
 * @param freedom degrees of freedom, an integer from 1
 */
export function studentT95(freedom: number): number {
  // With t = sqrt(freedom) tan(angle), the probability rises with the angle: bisect the angle's range.
  let low = 0;
  let high = Math.PI / 2;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) break;
    if (centralProbability(middle, freedom) < 0.95) low = middle;
    else high = middle;
  }
  return Math.sqrt(freedom) * Math.tan(low);
}

/** Returns P(|T| < sqrt(freedom) tan(angle)), a finite sum (Abramowitz and Stegun, 26.7.3 and 26.7.4). */
function centralProbability(angle: number, freedom: number): number {
  const odd = freedom % 2;
  const cosine = Math.cos(angle);
  let sum = 0;
  let term = odd ? cosine : 1;
  for (let i = odd; i < freedom - 1 && term > 1e-18; i += 2) {
    sum += term;
    term *= cosine ** 2 * (i + 1) / (i + 2);
  }
  const part = Math.sin(angle) * sum;
  return odd ? (angle + part) * 2 / Math.PI : part;
}

/** Returns the mean of numbers; NaN for none. */
export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Estimates the mean of numbers, assuming that they are normally distributed. */
export function estimate(values: readonly number[]): Estimate {
  const count = values.length;
  const mean = meanOf(values);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (count - 1));
  const margin = count < 2
    ? NaN
    : studentT95(count - 1) * deviation / Math.sqrt(count);
  return { mean, margin, count };
}

/**
 * Returns the difference between two cells over pairs of the same seed: effects of the seed on
 * both cells cancel out. Undefined if they have no seed in common.
 */
export function pairedDifference(
  values: ReadonlyMap<number, number>,
  baseline: ReadonlyMap<number, number>,
): Estimate | undefined {
  const pairs = [...values].filter(([seed]) => baseline.has(seed));
  return pairs.length === 0
    ? undefined
    : estimate(pairs.map(([seed, value]) => value - baseline.get(seed)!));
}

/** Returns how many of some estimates have an interval: a single number has none. */
export function countIntervals(
  estimates: readonly (Estimate | undefined)[],
): number {
  return estimates.filter((estimate) =>
    estimate !== undefined && !Number.isNaN(estimate.margin)
  ).length;
}

/**
 * States how many of a report's 95 % intervals miss the true value by chance; returns an empty
 * text for fewer than two.
 */
export function missesText(intervals: number): string {
  if (intervals < 2) return "";
  const misses = Number((0.05 * intervals).toPrecision(2));
  return `${intervals} intervals are shown here. Each misses the true value with a chance of 5 %: expect about ${misses} of the ${intervals} to do so.`;
}
