// Sums over arrays of any length, which are read from any multiple of 4 bytes, four numbers
// at a time, then one by one.

import { fma } from "./math";
import { sum } from "./vector";

/** Returns the sum of n numbers. */
export function total(x: usize, n: i32): f32 {
  const end = x + (<usize> n << 2);
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let s2 = f32x4.splat(0);
  let s3 = f32x4.splat(0);
  for (; x + 64 <= end; x += 64) {
    s0 = f32x4.add(s0, v128.load(x));
    s1 = f32x4.add(s1, v128.load(x, 16));
    s2 = f32x4.add(s2, v128.load(x, 32));
    s3 = f32x4.add(s3, v128.load(x, 48));
  }
  for (; x + 16 <= end; x += 16) s0 = f32x4.add(s0, v128.load(x));
  let result = sum(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)));
  for (; x < end; x += 4) result += load<f32>(x);
  return result;
}

/** Returns the sum of (x - mean)² over n numbers. */
export function squares(x: usize, n: i32, mean: f32): f32 {
  const end = x + (<usize> n << 2);
  const middle = f32x4.splat(mean);
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let s2 = f32x4.splat(0);
  let s3 = f32x4.splat(0);
  for (; x + 64 <= end; x += 64) {
    const d0 = f32x4.sub(v128.load(x), middle);
    const d1 = f32x4.sub(v128.load(x, 16), middle);
    const d2 = f32x4.sub(v128.load(x, 32), middle);
    const d3 = f32x4.sub(v128.load(x, 48), middle);
    s0 = fma(d0, d0, s0);
    s1 = fma(d1, d1, s1);
    s2 = fma(d2, d2, s2);
    s3 = fma(d3, d3, s3);
  }
  for (; x + 16 <= end; x += 16) {
    const d = f32x4.sub(v128.load(x), middle);
    s0 = fma(d, d, s0);
  }
  let result = sum(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)));
  for (; x < end; x += 4) {
    const d = load<f32>(x) - mean;
    result += d * d;
  }
  return result;
}

/** Returns the sum of a · b over n numbers. */
export function product(a: usize, b: usize, n: i32): f32 {
  const end = a + (<usize> n << 2);
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  for (; a + 32 <= end; a += 32, b += 32) {
    s0 = fma(v128.load(a), v128.load(b), s0);
    s1 = fma(v128.load(a, 16), v128.load(b, 16), s1);
  }
  for (; a + 16 <= end; a += 16, b += 16) {
    s0 = fma(v128.load(a), v128.load(b), s0);
  }
  let result = sum(f32x4.add(s0, s1));
  for (; a < end; a += 4, b += 4) result += load<f32>(a) * load<f32>(b);
  return result;
}
