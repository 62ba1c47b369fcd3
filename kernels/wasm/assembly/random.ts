// The counter-based generator of kernels/random.ts, Threefry-2x32-20, for four counters at once.

const PARITY: i32 = 0x1bd11bda;

/**
 * Returns the first word of each of four blocks.
 *
 * @param counter0 the first word of each counter
 */
// @ts-ignore: decorator
@inline
export function threefry(
  key0: i32,
  key1: i32,
  counter0: v128,
  counter1: i32,
): v128 {
  const key2 = PARITY ^ key0 ^ key1;
  let x0 = i32x4.add(counter0, i32x4.splat(key0));
  let x1 = i32x4.splat(counter1 + key1);

  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 13), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 15), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 26), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 6), x0);
  x0 = i32x4.add(x0, i32x4.splat(key1));
  x1 = i32x4.add(x1, i32x4.splat(key2 + 1));

  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 17), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 29), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 16), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 24), x0);
  x0 = i32x4.add(x0, i32x4.splat(key2));
  x1 = i32x4.add(x1, i32x4.splat(key0 + 2));

  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 13), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 15), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 26), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 6), x0);
  x0 = i32x4.add(x0, i32x4.splat(key0));
  x1 = i32x4.add(x1, i32x4.splat(key1 + 3));

  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 17), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 29), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 16), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 24), x0);
  x0 = i32x4.add(x0, i32x4.splat(key1));
  x1 = i32x4.add(x1, i32x4.splat(key2 + 4));

  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 13), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 15), x0);
  x0 = i32x4.add(x0, x1);
  x1 = v128.xor(rotate(x1, 26), x0);
  x0 = i32x4.add(x0, x1);
  return i32x4.add(x0, i32x4.splat(key2));
}

/** Rotates every word left. */
// @ts-ignore: decorator
@inline
function rotate(x: v128, by: i32): v128 {
  return v128.or(i32x4.shl(x, by), i32x4.shr_u(x, 32 - by));
}

/**
 * Returns the factors of dropout for elements firstIndex to firstIndex + 3: 0 or `keep`.
 *
 * @param seed key[0]
 * @param purpose Purpose.dropout | site << 8
 * @param counter1 key[1]
 * @param threshold floor(rate · 2^32), unsigned
 * @param keep 1 / (1 - rate)
 */
// @ts-ignore: decorator
@inline
export function factors(
  seed: i32,
  purpose: i32,
  counter1: i32,
  threshold: i32,
  keep: f32,
  firstIndex: i32,
): v128 {
  const index = i32x4.add(i32x4.splat(firstIndex), i32x4(0, 1, 2, 3));
  const bits = threefry(seed, purpose, index, counter1);
  const kept = i32x4.ge_u(bits, i32x4.splat(threshold));
  return v128.and(kept, f32x4.splat(keep));
}

/** Returns the factor of dropout for one element. */
// @ts-ignore: decorator
@inline
export function factor(
  seed: i32,
  purpose: i32,
  counter1: i32,
  threshold: i32,
  keep: f32,
  index: i32,
): f32 {
  return f32x4.extract_lane(
    factors(seed, purpose, counter1, threshold, keep, index),
    0,
  );
}
