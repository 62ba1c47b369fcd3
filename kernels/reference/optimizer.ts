/** Reference kernels of the update: the global gradient norm, clipping, AdamW, and the parts of SGD and Muon. */

import {
  type KernelDims,
  LEAST_MOMENTUM,
  LEAST_NORMAL,
} from "../vocabulary.ts";
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
    m[i] = above(LEAST_NORMAL, beta1 * m[i]! + (1 - beta1) * g);
    v[i] = above(LEAST_NORMAL, beta2 * v[i]! + (1 - beta2) * g * g);
    params[i]! -= learningRate * (m[i]! / correction1) /
      (Math.sqrt(v[i]! / correction2) + eps);
  }
  grads.fill(0);
}

/** Returns x, or 0 if its magnitude is below `least`. */
function above(least: number, x: number): number {
  return Math.abs(x) < least ? 0 : x;
}

/** m = µm + g; the direction is m, or g + µm; 0 in a step that is not finite. Gradients end as 0. */
export function momentum(
  [direction, grads, m]: readonly [F64, F64, F64],
  [clip]: readonly [F64],
  { count, n, stride, momentum, nesterov }: KernelDims["momentum"],
): void {
  const [scale, finite] = [clip[0]!, clip[1] !== 0];
  direction.fill(0);
  for (let array = 0; array < count; array++) {
    const from = array * stride;
    for (let i = 0; finite && i < n; i++) {
      const g = scale * grads[from + i]!;
      const mean = above(LEAST_MOMENTUM, momentum * m[from + i]! + g);
      m[from + i] = mean;
      direction[array * n + i] = nesterov ? g + momentum * mean : mean;
    }
    grads.fill(0, from, from + n);
  }
}

/** y = x / (‖x‖ + eps), ‖x‖² = Σ partial, for each array. */
export function normalize(
  [y]: readonly [F64],
  [x, partial]: readonly [F64, F64],
  { count, n, parts, eps }: KernelDims["normalize"],
): void {
  for (let array = 0; array < count; array++) {
    let square = 0;
    for (const part of partial.subarray(array * parts, (array + 1) * parts)) {
      square += part;
    }
    const norm = Math.sqrt(square) + eps;
    for (let i = array * n; i < (array + 1) * n; i++) y[i] = x[i]! / norm;
  }
}

/** p -= lr (λp + scale · direction). A step that is not finite changes nothing. */
export function descend(
  [params]: readonly [F64],
  [direction, clip, schedule]: readonly [F64, F64, F64],
  { count, n, stride, decayed, rate, scale, weightDecay }: KernelDims[
    "descend"
  ],
): void {
  if (clip[1] === 0) return;
  const learningRate = rate * schedule[0]!;
  for (let array = 0; array < count; array++) {
    for (let i = 0; i < n; i++) {
      const at = array * stride + i;
      const decay = i < decayed ? weightDecay * params[at]! : 0;
      params[at]! -= learningRate * (decay + scale * direction[array * n + i]!);
    }
  }
}
