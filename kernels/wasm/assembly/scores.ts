// The part that attention's kernels share: operations on a row of scores, the products
// q·k of one query with keys j = 0, 1, …
//
// The dims are consecutive arguments: T, NH, NKV, HS, scale, mask, maskValue, slopes (NOTHING:
// none), key (NOTHING: no dropout), purpose and site, threshold, 1 / (1 - rate). `dims` is the record's
// address moved forward, so that the dims count from 0. A row is as long as `width`, a multiple of 8.

import { MASK_FINITE, MASK_ZEROED, NOTHING } from "../codes";
import {
  constant,
  EXP2_1,
  EXP2_2,
  EXP2_3,
  EXP2_4,
  EXP2_5,
  EXP2_LOWEST,
  fma,
  LOG2_E,
  power,
  ROUNDER,
  TWO,
} from "./math";
import { factors } from "./random";
import { float, int, pointer } from "./record";
import { largest as largestOf } from "./vector";

export const SCALE: i32 = 4;
export const MASK: i32 = 5;
export const MASK_VALUE: i32 = 6;
export const SLOPES: i32 = 7;
export const KEY: i32 = 8;

/** Applies ALiBi and the mask to the scaled scores of query i, head h, with `keys` keys; scores after those of the keys become -∞. */
export function mask(
  dims: usize,
  row: usize,
  h: i32,
  i: i32,
  keys: i32,
  width: i32,
): void {
  const slopes = pointer(dims, SLOPES);
  if (slopes !== NOTHING) {
    const slope = f32x4.splat(load<f32>(slopes + (<usize> h << 2)));
    let distance = f32x4.add(f32x4.splat(<f32> -i), f32x4(0, 1, 2, 3)); // j - i
    for (let j = 0, at = row; j < width; j += 4, at += 16) {
      v128.store(at, f32x4.add(v128.load(at), f32x4.mul(slope, distance)));
      distance = f32x4.add(distance, f32x4.splat(4));
    }
  }
  const kind = int(dims, MASK);
  if (kind === MASK_ZEROED || kind === MASK_FINITE) {
    const value = kind === MASK_ZEROED ? <f32> 0 : float(dims, MASK_VALUE);
    for (let j = i + 1; j < keys; j++) {
      store<f32>(row + (<usize> j << 2), value);
    }
  }
  for (let j = keys; j < width; j++) {
    store<f32>(row + (<usize> j << 2), -Infinity);
  }
}

/** Returns the largest score of a row; NaNs do not count. */
export function largest(row: usize, width: i32): f32 {
  let m0 = v128.load(row);
  let m1 = v128.load(row, 16);
  const end = row + (<usize> width << 2);
  for (let at = row + 32; at < end; at += 32) {
    m0 = f32x4.pmax(m0, v128.load(at));
    m1 = f32x4.pmax(m1, v128.load(at, 16));
  }
  return largestOf(f32x4.pmax(m0, m1));
}

/** Replaces every score by exp(score - shift), where no score is much above the shift; returns their sum. A score of -∞ gives an exact 0. */
export function exponentials(row: usize, width: i32, shift: f32): f32 {
  const factor = constant(LOG2_E);
  const lowest = constant(EXP2_LOWEST);
  const rounder = constant(ROUNDER);
  const two = constant(TWO);
  const c1 = constant(EXP2_1);
  const c2 = constant(EXP2_2);
  const c3 = constant(EXP2_3);
  const c4 = constant(EXP2_4);
  const c5 = constant(EXP2_5);
  const from = f32x4.splat(shift);
  let sum = f32x4.splat(0);
  const end = row + (<usize> width << 2);
  for (let at = row; at < end; at += 16) {
    const w = f32x4.mul(f32x4.sub(v128.load(at), from), factor);
    const e = power(f32x4.pmax(w, lowest), rounder, two, c1, c2, c3, c4, c5);
    sum = f32x4.add(sum, e);
    v128.store(at, e);
  }
  return total(sum);
}

/** Returns the sum of a vector's numbers. */
// @ts-ignore: decorator
@inline
export function total(x: v128): f32 {
  const pairs = f32x4.add(x, v128.shuffle<i64>(x, x, 1, 0));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/** Multiplies a row by the factors of dropout; `first` is the index of its first element. */
export function drop(dims: usize, row: usize, first: i32, width: i32): void {
  const key = pointer(dims, KEY);
  const seed = load<i32>(key);
  const counter = load<i32>(key, 4);
  const purpose = int(dims, 9);
  const threshold = int(dims, 10);
  const keep = float(dims, 11);
  for (let j = 0, at = row; j < width; j += 4, at += 16) {
    const f = factors(seed, purpose, counter, threshold, keep, first + j);
    v128.store(at, f32x4.mul(v128.load(at), f));
  }
}

/** x[n] *= factor */
export function scaleBy(x: usize, n: i32, factor: f32): void {
  const by = f32x4.splat(factor);
  const end = x + (<usize> n << 2);
  let at = x;
  for (; at + 16 <= end; at += 16) {
    v128.store(at, f32x4.mul(v128.load(at), by));
  }
  for (; at < end; at += 4) store<f32>(at, load<f32>(at) * factor);
}

/** Returns the sum of a[n] · b[n]. */
export function dot(a: usize, b: usize, n: i32): f32 {
  let sums = f32x4.splat(0);
  let i: usize = 0;
  const end = <usize> n << 2;
  for (; i + 16 <= end; i += 16) {
    sums = fma(v128.load(a + i), v128.load(b + i), sums);
  }
  let sum = total(sums);
  for (; i < end; i += 4) sum += load<f32>(a + i) * load<f32>(b + i);
  return sum;
}

/** Returns four results of {@linkcode dot}, with the same bits, for rows of b that are `row` bytes apart; n is a multiple of 4. */
export function dots(a: usize, b: usize, row: usize, n: i32): v128 {
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  let b1 = b + row, b2 = b1 + row, b3 = b2 + row;
  const end = a + (<usize> n << 2);
  while (a < end) {
    const x = v128.load(a);
    s0 = fma(x, v128.load(b), s0), s1 = fma(x, v128.load(b1), s1);
    s2 = fma(x, v128.load(b2), s2), s3 = fma(x, v128.load(b3), s3);
    a += 16, b += 16, b1 += 16, b2 += 16, b3 += 16;
  }
  const pairs01 = f32x4.add(
    v128.shuffle<i64>(s0, s1, 0, 2),
    v128.shuffle<i64>(s0, s1, 1, 3),
  );
  const pairs23 = f32x4.add(
    v128.shuffle<i64>(s2, s3, 0, 2),
    v128.shuffle<i64>(s2, s3, 1, 3),
  );
  return f32x4.add(
    v128.shuffle<i32>(pairs01, pairs23, 0, 2, 4, 6),
    v128.shuffle<i32>(pairs01, pairs23, 1, 3, 5, 7),
  );
}
