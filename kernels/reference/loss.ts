/** Reference kernels of the loss: cross-entropy with its gradient, and the sum over rows. */

import type { KernelDims } from "../vocabulary.ts";
import type { F64, I32 } from "./kernel.ts";

/**
 * rowLoss = -Σᵥ qᵥ log pᵥ, with p = softmax(logits) and the smoothed target
 * qᵥ = (1 - s) [v = target] + s / V (arXiv 1512.00567, section 7);
 * d rowLoss / d logitᵥ = pᵥ - qᵥ. A row with target -1 counts for nothing.
 */
export function crossEntropy(
  [rowLoss, dlogits]: readonly [F64, F64?],
  [logits, targets]: readonly [F64, I32],
  { rows, V, smoothing, gradientScale }: KernelDims["crossEntropy"],
): void {
  for (let row = 0; row < rows; row++) {
    const at = row * V;
    const target = targets[row]!;
    if (target === -1) {
      rowLoss[row] = 0;
      dlogits?.fill(0, at, at + V);
      continue;
    }
    const lse = logSumExp(logits.subarray(at, at + V));
    let loss = 0;
    for (let v = 0; v < V; v++) {
      const logP = logits[at + v]! - lse;
      const q = (v === target ? 1 - smoothing : 0) + smoothing / V;
      loss -= q * logP;
      if (dlogits) dlogits[at + v] = gradientScale * (Math.exp(logP) - q);
    }
    rowLoss[row] = loss;
  }
}

/** log Σ exp(x), shifted by the largest x. */
function logSumExp(x: F64): number {
  let largest = -Infinity;
  for (const value of x) largest = Math.max(largest, value);
  let sum = 0;
  for (const value of x) sum += Math.exp(value - largest);
  return largest + Math.log(sum);
}

/** total[key[3]] (+)= scale · Σ rowLoss. */
export function lossSum(
  [total]: readonly [F64],
  [rowLoss, key]: readonly [F64, I32],
  { scale, accumulate }: KernelDims["lossSum"],
): void {
  let sum = 0;
  for (const loss of rowLoss) sum += loss;
  const slot = key[3]!;
  total[slot] = scale * sum + (accumulate ? total[slot]! : 0);
}
