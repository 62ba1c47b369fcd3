/** Reference kernels of normalisation: layer norm and RMS norm over channels. */

import type { KernelDims } from "../vocabulary.ts";
import type { F64 } from "./kernel.ts";

/**
 * x̂ = (x - μ) · r, y = x̂ · weight + bias, with r = 1 / √(mean((x - μ)²) + eps).
 *
 * layernorm: μ = mean(x) (arXiv 1607.06450); rmsnorm: μ = 0 (arXiv 1910.07467).
 */
export function norm(
  [y, stats]: readonly [F64, F64],
  [x, weight, bias]: readonly [F64, F64, F64?],
  { kind, rows, C, eps }: KernelDims["norm"],
): void {
  for (let row = 0; row < rows; row++) {
    const at = row * C;
    let mean = 0;
    if (kind === "layernorm") {
      for (let c = 0; c < C; c++) mean += x[at + c]!;
      mean /= C;
    }
    let variance = 0;
    for (let c = 0; c < C; c++) variance += (x[at + c]! - mean) ** 2;
    variance /= C;
    const r = 1 / Math.sqrt(variance + eps);
    for (let c = 0; c < C; c++) {
      y[at + c] = (x[at + c]! - mean) * r * weight[c]! + (bias ? bias[c]! : 0);
    }
    stats[2 * row] = mean;
    stats[2 * row + 1] = r;
  }
}

/**
 * With g = dy · weight: dx = r · (g - mean(g) - x̂ · mean(g · x̂)).
 *
 * Without the term mean(g) for rmsnorm, whose μ does not depend on x. dweight += Σ over rows of dy · x̂; dbias += Σ over
 * rows of dy.
 */
export function normBackward(
  [dx, dweight, dbias]: readonly [F64, F64, F64?],
  [dy, x, weight, stats]: readonly [F64, F64, F64, F64],
  { kind, rows, C, accumulate }: KernelDims["normBackward"],
): void {
  for (let row = 0; row < rows; row++) {
    const at = row * C;
    const mean = stats[2 * row]!;
    const r = stats[2 * row + 1]!;
    let meanG = 0;
    let meanGX = 0;
    for (let c = 0; c < C; c++) {
      const g = dy[at + c]! * weight[c]!;
      meanG += g / C;
      meanGX += g * (x[at + c]! - mean) * r / C;
    }
    if (kind === "rmsnorm") meanG = 0;
    for (let c = 0; c < C; c++) {
      const g = dy[at + c]! * weight[c]!;
      const normalised = (x[at + c]! - mean) * r;
      const result = r * (g - meanG - normalised * meanGX);
      dx[at + c] = accumulate ? dx[at + c]! + result : result;
      dweight[c]! += dy[at + c]! * normalised;
      if (dbias) dbias[c]! += dy[at + c]!;
    }
  }
}
