// Sums, copies and dropout. A unit is BLOCK elements.

import { BLOCK, NOTHING } from "../codes";
import { fma } from "./math";
import { factors } from "./random";
import { float, int, pointer } from "./record";
import { copyNumbers, storeFirst } from "./vector";

/** y, a, b, n */
export function add(r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const a = pointer(r, 1);
  const b = pointer(r, 2);
  const end = <usize> min(to * BLOCK, int(r, 3)) << 2;
  let i = <usize> from * BLOCK << 2;
  for (; i + 16 <= end; i += 16) {
    v128.store(y + i, f32x4.add(v128.load(a + i), v128.load(b + i)));
  }
  for (; i < end; i += 4) {
    store<f32>(y + i, load<f32>(a + i) + load<f32>(b + i));
  }
}

/** y, x, bytes from an array of x to the next, arrays, n: y += the sum of the arrays, which become 0. */
export function gather(r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const x = pointer(r, 1);
  const stride = <usize> int(r, 2);
  const span = stride * int(r, 3);
  const end = <usize> min(to * BLOCK, int(r, 4)) << 2;
  // Arrays have room for whole vectors.
  for (let i = <usize> from * BLOCK << 2; i < end; i += 16) {
    let sum = v128.load(y + i);
    for (let at = x + i; at < x + i + span; at += stride) {
      sum = f32x4.add(sum, v128.load(at));
      v128.store(at, f32x4.splat(0));
    }
    v128.store(y + i, sum);
  }
}

/** y = alpha · x + bias + beta · addend, over `bytes` bytes; bias and addend may be NOTHING. */
export function weigh(
  y: usize,
  bytes: usize,
  alpha: f32,
  x: usize,
  bias: usize,
  beta: f32,
  addend: usize,
): void {
  const alphas = f32x4.splat(alpha);
  const betas = f32x4.splat(beta);
  // What is absent is read as the 0s at NOTHING.
  const each: usize = addend === NOTHING ? 0 : 1;
  const column: usize = bias === NOTHING ? 0 : 1;
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    const scaled = f32x4.add(f32x4.mul(alphas, v128.load(x + i)), v128.load(bias + column * i));
    v128.store(y + i, fma(betas, v128.load(addend + each * i), scaled));
  }
  for (; i < bytes; i += 4) {
    const scaled = alpha * load<f32>(x + i) + load<f32>(bias + column * i);
    store<f32>(y + i, beta * load<f32>(addend + each * i) + scaled);
  }
}

/** y = bias + beta · addend, over `bytes` bytes; bias and addend may be NOTHING. */
export function begin(y: usize, bytes: usize, bias: usize, beta: f32, addend: usize): void {
  if (addend === NOTHING) return copyNumbers(y, bias, bytes);
  const betas = f32x4.splat(beta);
  const step: usize = bias === NOTHING ? 0 : 1;
  const end = y + bytes;
  for (; y + 32 <= end; y += 32, addend += 32, bias += 32 * step) {
    v128.store(y, fma(betas, v128.load(addend), v128.load(bias)));
    v128.store(y, fma(betas, v128.load(addend, 16), v128.load(bias, 16)), 16);
  }
  for (; y < end; y += 4, addend += 4, bias += 4 * step) {
    store<f32>(y, beta * load<f32>(addend) + load<f32>(bias));
  }
}

/** y, x, n */
export function copy(r: usize, from: i32, to: i32): void {
  const begin = <usize> from * BLOCK << 2;
  const end = <usize> min(to * BLOCK, int(r, 2)) << 2;
  memory.copy(pointer(r, 0) + begin, pointer(r, 1) + begin, end - begin);
}

/** y, x, key, residual or NOTHING, n, purpose and site, threshold, 1 / (1 - rate) */
export function dropout(r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const x = pointer(r, 1);
  const key = pointer(r, 2);
  const residual = pointer(r, 3);
  const end = min(to * BLOCK, int(r, 4));
  const purpose = int(r, 5);
  const threshold = int(r, 6);
  const keep = float(r, 7);
  const seed = load<i32>(key);
  const counter = load<i32>(key, 4);
  for (let i = from * BLOCK; i < end; i += 4) {
    const at = <usize> i << 2;
    const count = end - i;
    let result = f32x4.mul(
      v128.load(x + at),
      factors(seed, purpose, counter, threshold, keep, i),
    );
    if (residual !== NOTHING) {
      result = f32x4.add(v128.load(residual + at), result);
    }
    if (count < 4) storeFirst(y + at, result, count);
    else v128.store(y + at, result);
  }
}
