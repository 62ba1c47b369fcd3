/** Means of few numbers, and how far to trust them. */

/** A mean with its 95 % confidence interval, mean ± margin. */
export interface Estimate {
  readonly mean: number;
  /** Half the interval's width; NaN for fewer than two numbers. */
  readonly margin: number;
  readonly count: number;
}

/**
 * Two-sided 95 % quantiles of Student's t with 1, 2, … degrees of freedom
 * (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2).
 */
const t95 = [
  12.706,
  4.303,
  3.182,
  2.776,
  2.571,
  2.447,
  2.365,
  2.306,
  2.262,
  2.228,
  2.201,
  2.179,
  2.16,
  2.145,
  2.131,
  2.12,
  2.11,
  2.101,
  2.093,
  2.086,
];

/** That of the normal distribution, which t approaches. */
const normal95 = 1.96;

/** The mean of numbers that are taken to be normally distributed. */
export function estimate(values: readonly number[]): Estimate {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (count - 1));
  const quantile = t95[count - 2] ?? normal95;
  return { mean, margin: quantile * deviation / Math.sqrt(count), count };
}

/**
 * The difference between two cells in what both have measured with the same seed: what the
 * seed does to both alike falls out.
 */
export function pairedDifference(
  values: ReadonlyMap<number, number>,
  baseline: ReadonlyMap<number, number>,
): Estimate {
  const pairs = [...values].filter(([seed]) => baseline.has(seed));
  return estimate(pairs.map(([seed, value]) => value - baseline.get(seed)!));
}
