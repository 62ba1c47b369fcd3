/** The error function in float64, for the exact GELU. */

/**
 * The complementary error function, erfc(x) = 1 - erf(x), absolute error below 1e-15.
 *
 * |x| < 3: erf by the series erf(x) = 2/√π · exp(-x²) · Σₙ 2ⁿ x²ⁿ⁺¹ / (2n+1)!! (DLMF 7.6.2),
 * whose terms all have one sign. Beyond: Laplace's continued fraction (DLMF 7.9.1 with z = x)
 * √π · exp(x²) · erfc(x) = 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + …)))), evaluated from the inside.
 */
export function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  return x < 3 ? 1 - erfSeries(x) : erfcFraction(x);
}

function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= 2 * x * x / (2 * n + 1);
    sum += term;
  }
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}

function erfcFraction(x: number): number {
  // 60 levels: at x = 3 the convergents agree to the last bit from level 50 on.
  let denominator = x;
  for (let level = 60; level > 0; level--) {
    denominator = x + level / 2 / denominator;
  }
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * denominator);
}
