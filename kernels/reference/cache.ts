/** Reference kernels of the key/value cache: filling it, and attention over it. */

import type { AttentionDims, CacheDims } from "../vocabulary.ts";
import { addScaled, dot, score, softmax } from "./attention.ts";
import type { F64, I32 } from "./kernel.ts";

/** cache[b, start[b] + t] = keys and values of qkv[b,t], for t < count[b]. */
export function cacheAppend(
  [cache]: readonly [F64],
  [qkv, start, count]: readonly [F64, I32, I32],
  { B, T, L, NH, NKV, HS }: CacheDims,
): void {
  const row = 2 * NKV * HS;
  const QKV = NH * HS + row;
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < count[b]!; t++) {
      const from = (b * T + t) * QKV + NH * HS;
      const to = (b * L + start[b]! + t) * row;
      cache.set(qkv.subarray(from, from + row), to);
    }
  }
}

/**
 * yₜ = Σⱼ pᵢⱼ vⱼ for the query at position i = start[b] + t, as in `attention`, with keys and
 * values from the cache: those up to i under a causal mask, else all start[b] + count[b].
 */
export function attentionCached(
  [y]: readonly [F64],
  [qkv, cache, start, count]: readonly [F64, F64, I32, I32],
  dims: CacheDims & AttentionDims,
): void {
  const { B, T, L, NH, NKV, HS, mask } = dims;
  const stride = 2 * NKV * HS;
  const p = new Float64Array(L);
  y.fill(0);
  for (let b = 0; b < B; b++) {
    const filled = start[b]! + count[b]!;
    for (let h = 0; h < NH; h++) {
      const k = b * L * stride + Math.floor(h * NKV / NH) * HS;
      const v = k + NKV * HS;
      for (let t = 0; t < count[b]!; t++) {
        const i = start[b]! + t;
        const q = (b * T + t) * (NH * HS + stride) + h * HS;
        const keys = mask === "causal" ? i + 1 : filled;
        for (let j = 0; j < keys; j++) {
          const product = dot(qkv, q, cache, k + j * stride, HS);
          p[j] = score(product, { h, i, j }, dims);
        }
        softmax(p, keys);
        const out = ((b * T + t) * NH + h) * HS;
        for (let j = 0; j < keys; j++) {
          addScaled(y, out, p[j]!, cache, v + j * stride, HS);
        }
      }
    }
  }
}
