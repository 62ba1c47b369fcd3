// Dot products of one row with several, all as they lie in memory: for matrices so large
// that most of the time goes into reading them, and a packed copy would double the memory.
//
// A sum has eight parts, by k mod 8, and what is left after the last sixteen: no bit depends
// on how many rows there are.

import { NOTHING } from "../codes";
import { fma } from "./math";
import { sum } from "./vector";

/**
 * Rows that are multiplied at a time. Two sums of each make eight additions that do not wait for one another; with
 * two rows of four sums, more loads of a, it was slower by a third.
 */
export const DOTS: i32 = 4;

/**
 * c[count] = a[K] · b[count,K]ᵀ + bias[count] + addend[count], count at most DOTS.
 *
 * @param row bytes from a row of b to the next
 * @param bias NOTHING for no bias
 * @param addend NOTHING for no addend
 */
export function dots(
  c: usize,
  a: usize,
  b: usize,
  row: usize,
  K: i32,
  count: i32,
  bias: usize,
  addend: usize,
): void {
  let s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00;
  let s20 = s00, s21 = s00, s30 = s00, s31 = s00;
  // Rows that are missing are the last one again.
  let b1 = b + (count > 1 ? row : 0);
  let b2 = b1 + (count > 2 ? row : 0);
  let b3 = b2 + (count > 3 ? row : 0);
  const end = a + (<usize> (K & ~15) << 2);
  while (a < end) {
    let x0 = v128.load(a), x1 = v128.load(a, 16);
    s00 = fma(x0, v128.load(b), s00), s01 = fma(x1, v128.load(b, 16), s01);
    s10 = fma(x0, v128.load(b1), s10), s11 = fma(x1, v128.load(b1, 16), s11);
    s20 = fma(x0, v128.load(b2), s20), s21 = fma(x1, v128.load(b2, 16), s21);
    s30 = fma(x0, v128.load(b3), s30), s31 = fma(x1, v128.load(b3, 16), s31);
    x0 = v128.load(a, 32), x1 = v128.load(a, 48);
    s00 = fma(x0, v128.load(b, 32), s00), s01 = fma(x1, v128.load(b, 48), s01);
    s10 = fma(x0, v128.load(b1, 32), s10), s11 = fma(x1, v128.load(b1, 48), s11);
    s20 = fma(x0, v128.load(b2, 32), s20), s21 = fma(x1, v128.load(b2, 48), s21);
    s30 = fma(x0, v128.load(b3, 32), s30), s31 = fma(x1, v128.load(b3, 48), s31);
    a += 64, b += 64, b1 += 64, b2 += 64, b3 += 64;
  }
  const left = K & 15;
  finish(c, 0, s00, s01, a, b, left, bias, addend);
  if (count > 1) finish(c, 4, s10, s11, a, b1, left, bias, addend);
  if (count > 2) finish(c, 8, s20, s21, a, b2, left, bias, addend);
  if (count > 3) finish(c, 12, s30, s31, a, b3, left, bias, addend);
}

/** Stores a sum with what is left of the rows, the bias and the addend. */
// @ts-ignore: decorator
@inline
function finish(
  c: usize,
  at: usize,
  s0: v128,
  s1: v128,
  a: usize,
  b: usize,
  left: i32,
  bias: usize,
  addend: usize,
): void {
  let total = sum(f32x4.add(s0, s1));
  for (let k: usize = 0; k < <usize> left << 2; k += 4) {
    total += load<f32>(a + k) * load<f32>(b + k);
  }
  if (bias !== NOTHING) total += load<f32>(bias + at);
  if (addend !== NOTHING) total += load<f32>(addend + at);
  store<f32>(c + at, total);
}
