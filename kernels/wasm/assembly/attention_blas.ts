// Attention of whole sequences whose products the machine's BLAS computes, forward and backward.
// The library reads queries, keys and values where they are, so that nothing is packed. Units and results
// are those of attention.ts and attention_backward.ts.
//
// Queries are computed in blocks of BLAS_QUERIES, whose scores stay in the first-level cache. With a
// causal mask, only the scores of keys up to the block's last query are computed, and of each row only
// those up to its own query, rounded up to whole vectors, go through the softmax.
//
// If `turned` is 1, keys (and in the gradient, values) are first turned to [HS,T], from which a library that packs
// nothing computes faster.

import { BLAS_QUERIES, FORM_NN, FORM_NT, FORM_TN, MASK_CAUSAL, MASK_NONE, NOTHING } from "../codes";
import { width } from "./attention";
import { scoreGradients } from "./attention_backward";
import { sgemm } from "./blas";
import { log } from "./math";
import { float, int, pointer } from "./record";
import { turnMatrix } from "./product";
import { dot, drop, exponentials, KEY, largest, MASK, mask, SCALE, scaleBy } from "./scores";

/** The argument `turned`, counted from the dims of scores.ts. */
const TURNED: i32 = 12;

/** y, lse, qkv, the dims of scores.ts, turned. Scratch: the scores of a block, and with `turned` the keys. */
export function attentionByBlas(r: usize, from: i32, to: i32, scores: usize): void {
  const y = pointer(r, 0);
  const lse = pointer(r, 1);
  const qkv = pointer(r, 2);
  const dims = r + (3 << 2);
  const T = int(dims, 0);
  const NH = int(dims, 1);
  const NKV = int(dims, 2);
  const HS = int(dims, 3);
  const causal = int(dims, MASK) === MASK_CAUSAL;
  const scale = float(dims, SCALE);
  const head = <usize> HS << 2;
  const stride = (NH + 2 * NKV) * HS; // of qkv, in numbers
  const row = <usize> stride << 2;
  const yStride = NH * HS;
  const yRow = <usize> yStride << 2;
  const across = width(T);
  const line = <usize> across << 2;
  const turned = int(dims, TURNED) === 1;
  const turnedKeys = scores + BLAS_QUERIES * line;

  for (let unit = from; unit < to; unit++) {
    const b = unit / NH;
    const h = unit % NH;
    const q = qkv + b * T * row + h * head;
    const k = qkv + b * T * row + (NH + h * NKV / NH) * head;
    const v = k + NKV * head;
    const out = y + b * T * yRow + h * head;
    if (turned) turnMatrix(turnedKeys, line, k, row, T, HS);
    for (let i = 0; i < T; i += BLAS_QUERIES) {
      const rows = min(BLAS_QUERIES, T - i);
      const keys = causal ? i + rows : T;
      if (turned) sgemm(FORM_NN, rows, keys, HS, scale, q + i * row, stride, turnedKeys, across, 0, scores, across);
      else sgemm(FORM_NT, rows, keys, HS, scale, q + i * row, stride, k, stride, 0, scores, across);
      // Each row becomes probabilities.
      for (let n = 0; n < rows; n++) {
        const reached = causal ? i + n + 1 : T;
        const query = (b * NH + h) * T + i + n;
        const logSum = softmax(dims, scores + n * line, h, i + n, reached, keys, query * T);
        store<f32>(lse + (<usize> query << 2), logSum);
      }
      sgemm(FORM_NN, rows, HS, keys, 1, scores, across, v, stride, 0, out + i * yRow, yStride);
    }
  }
}

/**
 * Turns the scaled scores of query i, head h, into probabilities, those from `reached` to `keys` being 0; returns the logarithm
 * of the sum of exponentials. `first` is the index of the first one's random bits.
 */
function softmax(dims: usize, p: usize, h: i32, i: i32, reached: i32, keys: i32, first: i32): f32 {
  const wide = width(reached);
  mask(dims, p, h, i, reached, wide);
  const most = largest(p, wide);
  const sum = exponentials(p, wide, most);
  if (pointer(dims, KEY) !== NOTHING) drop(dims, p, first, wide);
  scaleBy(p, wide, 1 / sum);
  clear(p, wide, keys);
  return most + log(sum);
}

/**
 * y, qkv, cache, start, count, the dims of scores.ts, turned, L: see attentionCached in cache.ts. A unit is one query head
 * of one row of the batch. Scratch: the scores of a block, and with `turned` the keys.
 */
export function attentionCachedByBlas(r: usize, from: i32, to: i32, scores: usize): void {
  const dims = r + (5 << 2);
  const T = int(dims, 0);
  const NH = int(dims, 1);
  const NKV = int(dims, 2);
  const HS = int(dims, 3);
  const causal = int(dims, MASK) === MASK_CAUSAL;
  const scale = float(dims, SCALE);
  const turned = int(dims, TURNED) === 1;
  const L = int(dims, TURNED + 1);
  const head = <usize> HS << 2;
  const stride = (NH + 2 * NKV) * HS;
  const row = <usize> stride << 2;
  const yStride = NH * HS;
  const yRow = <usize> yStride << 2;
  const position = 2 * NKV * HS; // of the cache, in numbers
  const across = width(L);
  const line = <usize> across << 2;
  const turnedKeys = scores + BLAS_QUERIES * line;
  for (let unit = from; unit < to; unit++) {
    const b = unit / NH;
    const h = unit % NH;
    const start = load<i32>(pointer(r, 3) + (<usize> b << 2));
    const count = load<i32>(pointer(r, 4) + (<usize> b << 2));
    const q = pointer(r, 1) + b * T * row + h * head;
    const k = pointer(r, 2) + ((<usize> b * L * position) << 2) + h * NKV / NH * head;
    const v = k + NKV * head;
    const out = pointer(r, 0) + b * T * yRow + h * head;
    if (turned) turnMatrix(turnedKeys, line, k, <usize> position << 2, start + count, HS);
    for (let i = 0; i < count; i += BLAS_QUERIES) {
      const rows = min(BLAS_QUERIES, count - i);
      const keys = causal ? start + i + rows : start + count;
      if (turned) sgemm(FORM_NN, rows, keys, HS, scale, q + i * row, stride, turnedKeys, across, 0, scores, across);
      else sgemm(FORM_NT, rows, keys, HS, scale, q + i * row, stride, k, position, 0, scores, across);
      for (let n = 0; n < rows; n++) {
        const query = start + i + n;
        softmax(dims, scores + n * line, h, query, causal ? query + 1 : keys, keys, 0);
      }
      sgemm(FORM_NN, rows, HS, keys, 1, scores, across, v, position, 0, out + i * yRow, yStride);
    }
    for (let i = count; i < T; i++) memory.fill(out + i * yRow, 0, head);
  }
}

/** dqkv, dy, y, lse, qkv, the dims of scores.ts, turned. Scratch: p and ds of a block, and with `turned` keys and values. */
export function attentionBackwardByBlas(r: usize, from: i32, to: i32, p: usize): void {
  const dqkv = pointer(r, 0);
  const dy = pointer(r, 1);
  const y = pointer(r, 2);
  const lse = pointer(r, 3);
  const qkv = pointer(r, 4);
  const dims = r + (5 << 2);
  const T = int(dims, 0);
  const NH = int(dims, 1);
  const NKV = int(dims, 2);
  const HS = int(dims, 3);
  const causal = int(dims, MASK) === MASK_CAUSAL;
  const masked = !causal && int(dims, MASK) !== MASK_NONE;
  const dropout = pointer(dims, KEY) !== NOTHING;
  const scale = float(dims, SCALE);
  const head = <usize> HS << 2;
  const stride = (NH + 2 * NKV) * HS;
  const row = <usize> stride << 2;
  const yStride = NH * HS;
  const yRow = <usize> yStride << 2;
  const across = width(T);
  const line = <usize> across << 2;
  const ds = p + BLAS_QUERIES * line;
  const group = NH / NKV;
  const turned = int(dims, TURNED) === 1;
  const turnedKeys = ds + BLAS_QUERIES * line;
  const turnedValues = turnedKeys + HS * line;

  for (let unit = from; unit < to; unit++) {
    const b = unit / NKV;
    const kv = unit % NKV;
    const start = b * T * row;
    const k = start + (NH + kv) * head;
    const v = k + NKV * head;
    if (turned) {
      turnMatrix(turnedKeys, line, qkv + k, row, T, HS);
      turnMatrix(turnedValues, line, qkv + v, row, T, HS);
    }
    // The first block sets the gradients of all keys and values, so it is the last one, and the others add to them.
    let keep: f32 = 0;
    for (let h = kv * group; h < (kv + 1) * group; h++) {
      for (let i = (T - 1) / BLAS_QUERIES * BLAS_QUERIES; i >= 0; i -= BLAS_QUERIES) {
        const rows = min(BLAS_QUERIES, T - i);
        const keys = causal ? i + rows : T;
        const q = start + h * head + i * row;
        const out = (b * T + i) * yRow + h * head;
        if (turned) {
          sgemm(FORM_NN, rows, keys, HS, scale, qkv + q, stride, turnedKeys, across, 0, p, across);
          sgemm(FORM_NN, rows, keys, HS, 1, dy + out, yStride, turnedValues, across, 0, ds, across);
        } else {
          sgemm(FORM_NT, rows, keys, HS, scale, qkv + q, stride, qkv + k, stride, 0, p, across);
          sgemm(FORM_NT, rows, keys, HS, 1, dy + out, yStride, qkv + v, stride, 0, ds, across);
        }
        for (let n = 0; n < rows; n++) {
          const at = out + n * yRow;
          const delta = dot(dy + at, y + at, HS);
          const query = (b * NH + h) * T + i + n;
          const pLine = p + n * line;
          const dsLine = ds + n * line;
          const reached = causal ? i + n + 1 : T;
          const wide = width(reached);
          mask(dims, pLine, h, i + n, reached, wide);
          exponentials(pLine, wide, load<f32>(lse + (<usize> query << 2)));
          if (dropout) drop(dims, dsLine, query * T, wide);
          scoreGradients(pLine, dsLine, wide, delta, scale);
          if (masked) clear(dsLine, i + n + 1, wide);
          if (dropout) drop(dims, pLine, query * T, wide);
          clear(pLine, wide, keys);
          clear(dsLine, wide, keys);
        }
        sgemm(FORM_NN, rows, HS, keys, 1, ds, across, qkv + k, stride, 0, dqkv + q, stride);
        sgemm(FORM_TN, keys, HS, rows, 1, p, across, dy + out, yStride, keep, dqkv + v, stride);
        sgemm(FORM_TN, keys, HS, rows, 1, ds, across, qkv + q, stride, keep, dqkv + k, stride);
        keep = 1;
      }
    }
  }
}

/** Sets the numbers [from, to) of a row to 0; nothing if there are none. There are few, which a loop does faster than a call. */
// @ts-ignore: decorator
@inline
function clear(row: usize, from: i32, to: i32): void {
  let at = row + (<usize> from << 2);
  const end = row + (<usize> to << 2);
  for (; at + 16 <= end; at += 16) v128.store(at, f32x4.splat(0));
  for (; at < end; at += 4) store<f32>(at, 0);
}
