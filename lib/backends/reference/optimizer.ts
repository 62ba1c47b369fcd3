/** Reference kernels of the update: the global gradient norm, clipping, and AdamW. */

import type { KernelDims } from "../../../kernels/vocabulary.ts";
import type { F64, I32 } from "./kernel.ts";

/** partial[p] = Σ g² over the p-th stretch of ⌈n / parts⌉ elements; the last ones may be short or empty. */
export function squareSum(
  [partial]: readonly [F64],
  [grads]: readonly [F64],
  { n, parts }: KernelDims["squareSum"],
): void {
  const stretch = Math.ceil(n / parts);
  for (let part = 0; part < parts; part++) {
    let sum = 0;
    for (const g of grads.subarray(part * stretch, (part + 1) * stretch)) {
      sum += g * g;
    }
    partial[part] = sum;
  }
}

/**
 * norm = √Σ partial; clip = (min(1, maxNorm / (norm + 10⁻⁶)), whether norm and loss are finite);
 * metrics[key[2]] = (loss, norm, clip[1], 0); loss = 0, or stays what is not finite.
 */
export function clip(
  [clip, metrics, loss]: readonly [F64, F64, F64],
  [partial, key]: readonly [F64, I32],
  { maxNorm }: KernelDims["clip"],
): void {
  let square = 0;
  for (const part of partial) square += part;
  const norm = Math.sqrt(square);
  const finite = Number.isFinite(norm) && Number.isFinite(loss[0]!);
  clip[0] = maxNorm === 0 ? 1 : Math.min(1, maxNorm / (norm + 1e-6));
  clip[1] = finite ? 1 : 0;
  metrics.set([loss[0]!, norm, clip[1], 0], 4 * key[2]!);
  loss[0] = finite ? 0 : loss[0]! + square;
}

/**
 * AdamW (arXiv 1711.05101, algorithm 2, without the schedule multiplier), on the clipped gradient g:
 * p -= lr λ p; m = β₁m + (1-β₁)g; v = β₂v + (1-β₂)g²; p -= lr · m̂ / (√v̂ + eps),
 * m̂ = m / (1-β₁ᵗ), v̂ = v / (1-β₂ᵗ). A step that is not finite changes nothing. Gradients end as 0.
 */
export function adamw(
  [params, grads, m, v]: readonly [F64, F64, F64, F64],
  [clip, schedule]: readonly [F64, F64],
  dims: KernelDims["adamw"],
): void {
  const { n, decayed, beta1, beta2, eps, weightDecay } = dims;
  const [scale, finite] = [clip[0]!, clip[1] !== 0];
  const [learningRate, correction1, correction2] = [
    schedule[0]!,
    schedule[1]!,
    schedule[2]!,
  ];
  for (let i = 0; finite && i < n; i++) {
    const g = scale * grads[i]!;
    if (i < decayed) params[i]! -= learningRate * weightDecay * params[i]!;
    m[i] = beta1 * m[i]! + (1 - beta1) * g;
    v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
    params[i]! -= learningRate * (m[i]! / correction1) /
      (Math.sqrt(v[i]! / correction2) + eps);
  }
  grads.fill(0);
}
