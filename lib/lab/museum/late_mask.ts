/**
 * Attention that masks after the softmax: the wrong kernels, in the style of the reference, which
 * has the right ones.
 *
 * p(i,j) = exp(s(i,j)) / sum over all keys of exp(s), and y(i) = sum over j <= i of p(i,j) v(j):
 * values of future keys are not read, but their scores are in the denominator. (Dividing the
 * remaining weights by their own sum would make the result right again.)
 */

import type { AttentionDropoutDims } from "../../../kernels/vocabulary.ts";
import {
  addScaled,
  dot,
  score,
  softmax,
} from "../../../kernels/reference/attention.ts";
import type { F64 } from "../../../kernels/reference/kernel.ts";

/** Computes the attention; does not support dropout. */
export function lateAttention(
  [y, lse]: readonly [F64, F64],
  [qkv]: readonly [F64],
  dims: AttentionDropoutDims,
): void {
  const { T, HS } = dims;
  const p = new Float64Array(T);
  y.fill(0);
  forEachQuery(dims, ({ i, row, out, v, stride, scoreOf }) => {
    for (let j = 0; j < T; j++) p[j] = scoreOf(qkv, j);
    lse[row] = softmax(p, T);
    for (let j = 0; j <= i; j++) {
      addScaled(y, out, p[j]!, qkv, v + j * stride, HS);
    }
  });
}

/**
 * Computes the gradient of {@linkcode lateAttention}. With δ(i) = dy(i) · y(i): ds(i,j) = p(i,j)
 * (dy(i) · v(j) [j <= i] - δ(i)), for future keys too.
 */
export function lateAttentionBackward(
  [dqkv]: readonly [F64],
  [dy, y, lse, qkv]: readonly [F64, F64, F64, F64],
  dims: AttentionDropoutDims,
): void {
  const { T, HS, scale } = dims;
  dqkv.fill(0);
  forEachQuery(dims, ({ i, row, out, q, k, v, stride, scoreOf }) => {
    const delta = dot(dy, out, y, out, HS);
    for (let j = 0; j < T; j++) {
      const p = Math.exp(scoreOf(qkv, j) - lse[row]!);
      let ds = -p * delta;
      if (j <= i) {
        ds += p * dot(dy, out, qkv, v + j * stride, HS);
        addScaled(dqkv, v + j * stride, p, dy, out, HS);
      }
      addScaled(dqkv, q, scale * ds, qkv, k + j * stride, HS);
      addScaled(dqkv, k + j * stride, scale * ds, qkv, q, HS);
    }
  });
}

/** One query: its position, its row in lse, and the offsets of its numbers and of those of its keys and values. */
interface Query {
  readonly i: number;
  readonly row: number;
  readonly out: number;
  readonly q: number;
  readonly k: number;
  readonly v: number;
  readonly stride: number;
  /** Returns the score of key j, without a mask. */
  readonly scoreOf: (qkv: F64, j: number) => number;
}

function forEachQuery(
  dims: AttentionDropoutDims,
  visit: (query: Query) => void,
): void {
  const { B, T, NH, NKV, HS } = dims;
  const open = { ...dims, mask: "none" } as const;
  const stride = (NH + 2 * NKV) * HS;
  for (let row = 0; row < B * NH * T; row++) {
    const i = row % T;
    const h = Math.floor(row / T) % NH;
    const b = Math.floor(row / T / NH);
    const q = (b * T + i) * stride + h * HS;
    const k = b * T * stride + (NH + Math.floor(h * NKV / NH)) * HS;
    visit({
      ...{ i, row, q, k, stride },
      out: ((b * T + i) * NH + h) * HS,
      v: k + NKV * HS,
      scoreOf: (qkv, j) =>
        score(dot(qkv, q, qkv, k + j * stride, HS), { h, i, j }, open),
    });
  }
}
