// The loss: cross-entropy with its gradient, and the sum over rows. The formulas are
// explained in kernels/reference/loss.ts.

import {
  constant,
  EXP2_1,
  EXP2_2,
  EXP2_3,
  EXP2_4,
  EXP2_5,
  EXP2_LOWEST,
  fma,
  log,
  LOG2_E,
  power,
  ROUNDER,
  TWO,
} from "./math";
import { float, int, pointer } from "./record";
import { largest, sum } from "./vector";

/** rowLoss, dlogits or 0, logits, targets, rows, V, rows of a unit, smoothing, gradientScale */
export function crossEntropy(r: usize, from: i32, to: i32): void {
  const rowLoss = pointer(r, 0);
  const dlogits = pointer(r, 1);
  const targets = pointer(r, 3);
  const V = int(r, 5);
  const perUnit = int(r, 6);
  const smoothing = float(r, 7);
  const scale = float(r, 8);
  const end = min(to * perUnit, int(r, 4));
  const bytes = <usize> V << 2;
  for (let row = from * perUnit; row < end; row++) {
    const logits = pointer(r, 2) + <usize> row * bytes;
    const d = dlogits === 0 ? 0 : dlogits + <usize> row * bytes;
    const target = load<i32>(targets + (<usize> row << 2));
    if (target === -1) {
      store<f32>(rowLoss + (<usize> row << 2), 0);
      if (d !== 0) memory.fill(d, 0, bytes);
      continue;
    }
    const highest = largestOf(logits, bytes);
    const wanted = load<f32>(logits + (<usize> target << 2)) - highest;
    // -Σ q log p = log Σ exp(x) - Σ q x, for any shift of x, as Σ q is 1.
    let mean: f32 = wanted;
    if (smoothing !== 0) {
      const even = differences(logits, bytes, highest) / <f32> V;
      mean = (<f32> 1 - smoothing) * wanted + smoothing * even;
    }
    const total = exponentials(d, logits, bytes, highest);
    store<f32>(rowLoss + (<usize> row << 2), log(total) - mean);
    if (d === 0) continue;
    // scale · (p - q)
    multiplyAdd(d, bytes, scale / total, -scale * smoothing / <f32> V);
    const at = d + (<usize> target << 2);
    store<f32>(at, load<f32>(at) - scale * (<f32> 1 - smoothing));
  }
}

/** Returns the largest number of a row; NaNs do not count. */
function largestOf(x: usize, bytes: usize): f32 {
  let m0 = f32x4.splat(-Infinity);
  let m1 = m0;
  let i: usize = 0;
  for (; i + 32 <= bytes; i += 32) {
    m0 = f32x4.pmax(m0, v128.load(x + i));
    m1 = f32x4.pmax(m1, v128.load(x + i, 16));
  }
  let result = largest(f32x4.pmax(m0, m1));
  for (; i < bytes; i += 4) result = max(result, load<f32>(x + i));
  return result;
}

/** Returns the sum of x - shift over a row. */
function differences(x: usize, bytes: usize, shift: f32): f32 {
  const shifts = f32x4.splat(shift);
  let s = f32x4.splat(0);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    s = f32x4.add(s, f32x4.sub(v128.load(x + i), shifts));
  }
  let result = sum(s);
  for (; i < bytes; i += 4) result += load<f32>(x + i) - shift;
  return result;
}

/** Returns the sum of exp(x - shift) over a row; stores each exponential in `to`, unless `to` is 0. */
function exponentials(to: usize, x: usize, bytes: usize, shift: f32): f32 {
  const lowest = constant(EXP2_LOWEST);
  const rounder = constant(ROUNDER);
  const two = constant(TWO);
  const c1 = constant(EXP2_1);
  const c2 = constant(EXP2_2);
  const c3 = constant(EXP2_3);
  const c4 = constant(EXP2_4);
  const c5 = constant(EXP2_5);
  const factor = constant(LOG2_E);
  const shifts = f32x4.splat(shift);
  let s = f32x4.splat(0);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    const w = f32x4.mul(f32x4.sub(v128.load(x + i), shifts), factor);
    const inRange = f32x4.pmax(w, lowest); // nothing is above 0
    const e = power(inRange, rounder, two, c1, c2, c3, c4, c5);
    s = f32x4.add(s, e);
    if (to !== 0) v128.store(to + i, e);
  }
  let result = sum(s);
  for (; i < bytes; i += 4) {
    const one = v128.load32_splat(x + i);
    const w = f32x4.mul(f32x4.sub(one, shifts), factor);
    const inRange = f32x4.pmax(w, lowest);
    const e = f32x4.extract_lane(
      power(inRange, rounder, two, c1, c2, c3, c4, c5),
      0,
    );
    result += e;
    if (to !== 0) store<f32>(to + i, e);
  }
  return result;
}

/** x = x · a + b over a row. */
function multiplyAdd(x: usize, bytes: usize, a: f32, b: f32): void {
  const factors = f32x4.splat(a);
  const terms = f32x4.splat(b);
  let i: usize = 0;
  for (; i + 32 <= bytes; i += 32) {
    v128.store(x + i, fma(v128.load(x + i), factors, terms));
    v128.store(x + i, fma(v128.load(x + i, 16), factors, terms), 16);
  }
  for (; i < bytes; i += 4) store<f32>(x + i, load<f32>(x + i) * a + b);
}

/** total, rowLoss, key, rows, scale, accumulate. One unit. */
export function lossSum(r: usize, _from: i32, _to: i32): void {
  let x = pointer(r, 1);
  const end = x + (<usize> int(r, 3) << 2);
  let sum: f64 = 0;
  for (; x < end; x += 4) sum += <f64> load<f32>(x);
  sum *= <f64> float(r, 4);
  const slot = load<i32>(pointer(r, 2), 12);
  const at = pointer(r, 0) + (<usize> slot << 2);
  if (int(r, 5) === 1) sum += <f64> load<f32>(at);
  store<f32>(at, <f32> sum);
}
