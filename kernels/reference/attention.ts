/**
 * Reference kernels of attention over one block of positions, forward and backward.
 * Attention over the key/value cache is in `cache.ts` and shares the scores here.
 *
 * Names, per batch row b, query head h and its key/value head: queries qᵢ, keys kⱼ,
 * values vⱼ, scores sᵢⱼ, probabilities pᵢⱼ = exp(sᵢⱼ - lseᵢ), dropout factors fᵢⱼ
 * (1 without dropout), cotangents dyᵢ.
 */

import type { AttentionDims, AttentionDropoutDims } from "../vocabulary.ts";
import { dropoutFactor } from "./elementwise.ts";
import type { F64, I32 } from "./kernel.ts";

/** yᵢ = Σⱼ fᵢⱼ pᵢⱼ vⱼ; lseᵢ = log Σⱼ exp(sᵢⱼ). */
export function attention(
  [y, lse]: readonly [F64, F64],
  [qkv, key]: readonly [F64, I32?],
  dims: AttentionDropoutDims,
): void {
  const { T, NH, HS } = dims;
  const factor = factorOf(key, dims);
  const p = new Float64Array(T);
  y.fill(0);
  forEachQuery(dims, ({ b, h, i, row, q, k, v, stride }) => {
    const keys = dims.mask === "causal" ? i + 1 : T;
    for (let j = 0; j < keys; j++) {
      const product = dot(qkv, q, qkv, k + j * stride, HS);
      p[j] = score(product, { h, i, j }, dims);
    }
    lse[row] = softmax(p, keys);
    const out = ((b * T + i) * NH + h) * HS;
    for (let j = 0; j < keys; j++) {
      const weight = factor(row * T + j) * p[j]!;
      addScaled(y, out, weight, qkv, v + j * stride, HS);
    }
  });
}

/**
 * δᵢ = dyᵢ · yᵢ = Σⱼ pᵢⱼ dpᵢⱼ, dpᵢⱼ = fᵢⱼ dyᵢ · vⱼ; dsᵢⱼ = pᵢⱼ (dpᵢⱼ - δᵢ);
 * dvⱼ = Σᵢ fᵢⱼ pᵢⱼ dyᵢ; dqᵢ = scale · Σⱼ dsᵢⱼ kⱼ and dkⱼ = scale · Σᵢ dsᵢⱼ qᵢ over the pairs
 * whose score is not replaced by the mask; dv and dk also summed over the query heads that
 * share the key/value head.
 */
export function attentionBackward(
  [dqkv]: readonly [F64],
  [dy, y, lse, qkv, key]: readonly [F64, F64, F64, F64, I32?],
  dims: AttentionDropoutDims,
): void {
  const { T, NH, HS, scale, mask } = dims;
  const factor = factorOf(key, dims);
  dqkv.fill(0);
  forEachQuery(dims, ({ b, h, i, row, q, k, v, stride }) => {
    const out = ((b * T + i) * NH + h) * HS;
    const delta = dot(dy, out, y, out, HS);
    const keys = mask === "causal" ? i + 1 : T;
    for (let j = 0; j < keys; j++) {
      const product = dot(qkv, q, qkv, k + j * stride, HS);
      const p = Math.exp(score(product, { h, i, j }, dims) - lse[row]!);
      const f = factor(row * T + j);
      addScaled(dqkv, v + j * stride, f * p, dy, out, HS);
      if (j > i && mask !== "none") continue;
      const dp = f * dot(dy, out, qkv, v + j * stride, HS);
      const ds = p * (dp - delta);
      addScaled(dqkv, q, scale * ds, qkv, k + j * stride, HS);
      addScaled(dqkv, k + j * stride, scale * ds, qkv, q, HS);
    }
  });
}

/**
 * Returns the score of the query at position i and the key at position j, from q · k: scaled,
 * with ALiBi's bias -slope · (i - j) (arXiv 2108.12409) added, then replaced if the mask requires it.
 * (Never called for keys that a causal mask leaves out.)
 */
export function score(
  product: number,
  { h, i, j }: { h: number; i: number; j: number },
  { scale, mask, maskValue, slopes }: AttentionDims,
): number {
  if (j > i && mask === "zeroed") return 0;
  if (j > i && mask === "finite") return maskValue;
  return product * scale - (slopes[h] ?? 0) * (i - j);
}

/** Turns the first n scores into probabilities, and returns the logarithm of the sum of the scores' exponentials. */
export function softmax(scores: F64, n: number): number {
  let largest = -Infinity;
  for (let j = 0; j < n; j++) largest = Math.max(largest, scores[j]!);
  let sum = 0;
  for (let j = 0; j < n; j++) sum += Math.exp(scores[j]! - largest);
  const lse = largest + Math.log(sum);
  for (let j = 0; j < n; j++) scores[j] = Math.exp(scores[j]! - largest) / sum;
  return lse;
}

// The two innermost loops. Views or options objects here would cost more than the loops themselves.

/** Σ over d < n of x[atX + d] · y[atY + d]. */
export function dot(
  x: F64,
  atX: number,
  y: F64,
  atY: number,
  n: number,
): number {
  let sum = 0;
  for (let d = 0; d < n; d++) sum += x[atX + d]! * y[atY + d]!;
  return sum;
}

/** y[atY + d] += factor · x[atX + d] for d < n. */
export function addScaled(
  y: F64,
  atY: number,
  factor: number,
  x: F64,
  atX: number,
  n: number,
): void {
  for (let d = 0; d < n; d++) y[atY + d]! += factor * x[atX + d]!;
}

/** Returns the function that gives the dropout factor at index ((b·NH + h)·T + i)·T + j; always 1 without dropout. */
function factorOf(
  key: I32 | undefined,
  { dropout, site }: AttentionDropoutDims,
): (index: number) => number {
  return key ? dropoutFactor(key, { rate: dropout, site }) : () => 1;
}

/** One query: its indices, and the places in qkv[B,T,QKV] where its own numbers and those of its keys and values begin. */
interface Query {
  readonly b: number;
  readonly h: number;
  readonly i: number;
  /** The query's index in lse, (b·NH + h)·T + i. */
  readonly row: number;
  /** Index of the query vector's first number. */
  readonly q: number;
  /** Index of key 0, like `v` of value 0, of the query's key/value head; key or value j is `j · stride` further. */
  readonly k: number;
  readonly v: number;
  readonly stride: number;
}

/** Calls `visit` for every batch row, query head and position, in this order. */
function forEachQuery(
  { B, T, NH, NKV, HS }: AttentionDims,
  visit: (query: Query) => void,
): void {
  const stride = (NH + 2 * NKV) * HS;
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < NH; h++) {
      const kv = Math.floor(h * NKV / NH);
      const k = b * T * stride + (NH + kv) * HS;
      const v = k + NKV * HS;
      for (let i = 0; i < T; i++) {
        const row = (b * NH + h) * T + i;
        const q = (b * T + i) * stride + h * HS;
        visit({ b, h, i, row, q, k, v, stride });
      }
    }
  }
}
