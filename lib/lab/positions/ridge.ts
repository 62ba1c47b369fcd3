/** Ridge regression in closed form: it finds the one linear map with the least squared error. */

import { refusal } from "../../refusal.ts";

/**
 * Strength of the ridge penalty on weights, as a share of the features' mean variance: enough for
 * features that depend on each other, too little to change the fit of independent ones.
 */
const RIDGE = 1e-6;

/** A linear map from C features to a number. */
export interface LinearMap {
  readonly weights: Float64Array;
  readonly intercept: number;
}

/**
 * Collects rows of features with one or more targets each, and keeps only their sums: the normal
 * equations (Hoerl and Kennard 1970, Technometrics 12(1), equation 2.1).
 */
export class NormalEquations {
  readonly #features: number;
  /** The first row, subtracted from every row: large sums would lose the means. */
  #origin: Float64Array | undefined;
  readonly #sums: Float64Array;
  /** Products of features (C, C), of which the lower triangle is kept. */
  readonly #products: Float64Array;
  readonly #targetSums: Float64Array;
  /** Products of targets and features (targets, C). */
  readonly #targetProducts: Float64Array;
  /** The row that is being added. */
  readonly #row: Float64Array;
  #rows = 0;

  /** Creates equations without rows. */
  constructor(
    { features, targets }: {
      readonly features: number;
      readonly targets: number;
    },
  ) {
    this.#features = features;
    this.#row = new Float64Array(features);
    this.#sums = new Float64Array(features);
    this.#products = new Float64Array(features * features);
    this.#targetSums = new Float64Array(targets);
    this.#targetProducts = new Float64Array(targets * features);
  }

  /**
   * Adds one row.
   *
   * @param x the features, from index `at` on
   * @param targets one number per target
   */
  add(x: ArrayLike<number>, at: number, targets: ArrayLike<number>): void {
    const C = this.#features;
    const origin = this.#origin ??= Float64Array.from(
      { length: C },
      (_, i) => x[at + i]!,
    );
    const [row, products] = [this.#row, this.#products];
    for (let i = 0; i < C; i++) row[i] = x[at + i]! - origin[i]!;
    for (let i = 0; i < C; i++) {
      const value = row[i]!;
      this.#sums[i]! += value;
      for (let j = 0; j <= i; j++) products[i * C + j]! += value * row[j]!;
    }
    this.#targetSums.forEach((_, n) => {
      const target = targets[n]!;
      this.#targetSums[n]! += target;
      for (let i = 0; i < C; i++) {
        this.#targetProducts[n * C + i]! += target * row[i]!;
      }
    });
    this.#rows++;
  }

  /**
   * Returns the map to each target.
   *
   * @throws {RangeError} if there are no rows
   */
  solve(): LinearMap[] {
    const C = this.#features;
    const n = this.#rows;
    const origin = this.#origin;
    if (origin === undefined) {
      throw refusal(RangeError, "fit a linear map", "there are 0 rows");
    }
    const covariance = new Float64Array(C * C);
    let variance = 0;
    for (let i = 0; i < C; i++) {
      for (let j = 0; j <= i; j++) {
        covariance[i * C + j] = this.#products[i * C + j]! / n -
          this.#sums[i]! / n * (this.#sums[j]! / n);
      }
      variance += covariance[i * C + i]! / C;
    }
    // Features that never change carry no information: their weights become 0.
    const ridge = RIDGE * variance || 1;
    for (let i = 0; i < C; i++) covariance[i * C + i]! += ridge;
    const factor = cholesky(covariance, C);
    return Array.from(this.#targetSums, (sum, t) => {
      const weights = new Float64Array(C);
      for (let i = 0; i < C; i++) {
        weights[i] = this.#targetProducts[t * C + i]! / n -
          sum / n * (this.#sums[i]! / n);
      }
      substitute(factor, weights);
      let intercept = sum / n;
      for (let i = 0; i < C; i++) {
        intercept -= weights[i]! * (origin[i]! + this.#sums[i]! / n);
      }
      return { weights, intercept };
    });
  }
}

/** Applies a map to the features from index `at` on. */
export function apply(
  { weights, intercept }: LinearMap,
  x: ArrayLike<number>,
  at: number,
): number {
  let sum = intercept;
  for (let i = 0; i < weights.length; i++) sum += weights[i]! * x[at + i]!;
  return sum;
}

/**
 * Returns the lower triangular L with L·Lᵀ = A.
 *
 * @param A (n, n), symmetric; only the lower triangle is read
 * @throws {RangeError} if A is not positive definite
 */
export function cholesky(A: Float64Array, n: number): Float64Array {
  const L = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = A[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= L[i * n + k]! * L[j * n + k]!;
      if (i > j) L[i * n + j] = sum / L[j * n + j]!;
      else if (sum > 0) L[i * n + i] = Math.sqrt(sum);
      else {
        throw refusal(
          RangeError,
          "factor the matrix",
          `its pivot ${i} (${sum}) is not above 0`,
        );
      }
    }
  }
  return L;
}

/** Turns b into the x with L·Lᵀ·x = b. */
function substitute(L: Float64Array, b: Float64Array): void {
  const n = b.length;
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) b[i]! -= L[i * n + k]! * b[k]!;
    b[i]! /= L[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) b[i]! -= L[k * n + i]! * b[k]!;
    b[i]! /= L[i * n + i]!;
  }
}
