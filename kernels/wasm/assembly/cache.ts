// The key/value cache: filling it, and attention of new queries over it, of which a unit is
// one query head of one row of the batch. There are few queries, often one: dot products, not tiles.

import { MASK_CAUSAL } from "../codes";
import { width } from "./attention";
import { fma } from "./math";
import { float, int, pointer } from "./record";
import { dot, dots, exponentials, largest, MASK, mask, SCALE } from "./scores";

/** y, qkv, cache, start, count, then the dims of scores.ts and L */
export function attentionCached(r: usize, from: i32, to: i32, scratch: usize): void {
  const y = pointer(r, 0);
  const qkv = pointer(r, 1);
  const cache = pointer(r, 2);
  const starts = pointer(r, 3);
  const counts = pointer(r, 4);
  const dims = r + (5 << 2);
  const T = int(dims, 0);
  const NH = int(dims, 1);
  const NKV = int(dims, 2);
  const HS = int(dims, 3);
  const scale = float(dims, SCALE);
  const causal = int(dims, MASK) === MASK_CAUSAL;
  const L = int(dims, 12);
  const head = <usize> HS << 2;
  const qRow = (NH + 2 * NKV) * head;
  const position = 2 * NKV * head; // of the cache
  for (let unit = from; unit < to; unit++) {
    const b = unit / NH;
    const h = unit % NH;
    const k = cache + b * L * position + h * NKV / NH * head;
    const v = k + NKV * head;
    const start = load<i32>(starts + (<usize> b << 2));
    const count = load<i32>(counts + (<usize> b << 2));
    if (h === 0) fetch(k, k + <usize> (start + count) * position, scratch);
    for (let t = 0; t < T; t++) {
      const out = y + (<usize> (b * T + t) * NH + h) * head;
      if (t >= count) {
        memory.fill(out, 0, head);
        continue;
      }
      const i = start + t;
      const keys = causal ? i + 1 : start + count;
      const wide = width(keys);
      const q = qkv + <usize> (b * T + t) * qRow + h * head;
      let j = 0;
      if ((HS & 3) === 0) {
        const by = f32x4.splat(scale);
        for (; j + 4 <= keys; j += 4) {
          const four = dots(q, k + j * position, position, HS);
          v128.store(scratch + (<usize> j << 2), f32x4.mul(four, by));
        }
      }
      for (; j < keys; j++) {
        const score = dot(q, k + j * position, HS) * scale;
        store<f32>(scratch + (<usize> j << 2), score);
      }
      mask(dims, scratch, h, i, keys, wide);
      const sum = exponentials(scratch, wide, largest(scratch, wide));
      weighted(out, scratch, v, position, keys, HS, 1 / sum);
    }
  }
}

/**
 * Reads a range of memory once, to bring it into the second-level cache. The heads read it in steps of a position, four
 * to a page, which processors do not prefetch: without this call it took twice as long. Four quarters at a time keep
 * more reads under way than one.
 *
 * @param sink 16 bytes to overwrite; without this write the compiler would remove the reads
 */
function fetch(from: usize, to: usize, sink: usize): void {
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  const quarter = (to - from) >> 2 & ~63;
  let at = from;
  for (const end = from + quarter; at < end; at += 64) {
    s0 = v128.xor(s0, v128.load(at));
    s1 = v128.xor(s1, v128.load(at + quarter));
    s2 = v128.xor(s2, v128.load(at + 2 * quarter));
    s3 = v128.xor(s3, v128.load(at + 3 * quarter));
  }
  for (at += 3 * quarter; at < to; at += 64) s0 = v128.xor(s0, v128.load(at));
  v128.store(sink, v128.xor(v128.xor(s0, s1), v128.xor(s2, s3)));
}

/** y[HS] = factor · the sum of p[j] · v[j] over the keys. */
function weighted(
  y: usize,
  p: usize,
  v: usize,
  row: usize,
  keys: i32,
  HS: i32,
  factor: f32,
): void {
  const by = f32x4.splat(factor);
  const end = p + (<usize> keys << 2);
  let d = 0;
  for (; d + 32 <= HS; d += 32) {
    let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    let s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    for (let at = p, from = v; at < end; at += 4, from += row) {
      const weight = v128.load32_splat(at);
      s0 = fma(weight, v128.load(from), s0);
      s1 = fma(weight, v128.load(from, 16), s1);
      s2 = fma(weight, v128.load(from, 32), s2);
      s3 = fma(weight, v128.load(from, 48), s3);
      s4 = fma(weight, v128.load(from, 64), s4);
      s5 = fma(weight, v128.load(from, 80), s5);
      s6 = fma(weight, v128.load(from, 96), s6);
      s7 = fma(weight, v128.load(from, 112), s7);
    }
    v128.store(y, f32x4.mul(s0, by));
    v128.store(y, f32x4.mul(s1, by), 16);
    v128.store(y, f32x4.mul(s2, by), 32);
    v128.store(y, f32x4.mul(s3, by), 48);
    v128.store(y, f32x4.mul(s4, by), 64);
    v128.store(y, f32x4.mul(s5, by), 80);
    v128.store(y, f32x4.mul(s6, by), 96);
    v128.store(y, f32x4.mul(s7, by), 112);
    y += 128, v += 128;
  }
  for (; d + 16 <= HS; d += 16) {
    let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    for (let at = p, from = v; at < end; at += 4, from += row) {
      const weight = v128.load32_splat(at);
      s0 = fma(weight, v128.load(from), s0);
      s1 = fma(weight, v128.load(from, 16), s1);
      s2 = fma(weight, v128.load(from, 32), s2);
      s3 = fma(weight, v128.load(from, 48), s3);
    }
    v128.store(y, f32x4.mul(s0, by));
    v128.store(y, f32x4.mul(s1, by), 16);
    v128.store(y, f32x4.mul(s2, by), 32);
    v128.store(y, f32x4.mul(s3, by), 48);
    y += 64, v += 64;
  }
  for (; d < HS; d++, y += 4, v += 4) {
    let sum: f32 = 0;
    for (let at = p, from = v; at < end; at += 4, from += row) {
      sum += load<f32>(at) * load<f32>(from);
    }
    store<f32>(y, sum * factor);
  }
}

/**
 * cache[B,L,W], qkv[B,T,QKV], start[B], count[B], rows = B · T, T, L, NH · HS, W = 2 · NKV · HS, rows of a unit.
 * Skips positions outside [0, L), so nothing outside the cache is written.
 */
export function cacheAppend(r: usize, from: i32, to: i32): void {
  const cache = pointer(r, 0);
  const qkv = pointer(r, 1);
  const start = pointer(r, 2);
  const count = pointer(r, 3);
  const T = int(r, 5);
  const L = int(r, 6);
  const queries = <usize> int(r, 7) << 2;
  const width = <usize> int(r, 8) << 2;
  const grain = int(r, 9);
  const end = min(to * grain, int(r, 4));
  for (let row = from * grain; row < end; row++) {
    const b = row / T;
    const t = row - b * T;
    if (t >= load<i32>(count + (<usize> b << 2))) continue;
    const position = load<i32>(start + (<usize> b << 2)) + t;
    if (<u32> position >= <u32> L) continue;
    memory.copy(
      cache + <usize> (b * L + position) * width,
      qkv + <usize> row * (queries + width) + queries,
      width,
    );
  }
}
