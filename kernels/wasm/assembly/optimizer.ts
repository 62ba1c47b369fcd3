// The update: the norm of all gradients, clipping, AdamW, and the parts of SGD and Muon.

import { BLOCK, NOTHING } from "../codes";
import { weigh } from "./elementwise";
import { fma } from "./math";
import { float, int, pointer } from "./record";

/** LEAST_MOMENTUM and LEAST_NORMAL of the vocabulary: 2^-63 and 2^-126. */
const LEAST_MOMENTUM: f32 = 1.0842021724855044e-19;
const LEAST_NORMAL: f32 = 1.1754943508222875e-38;

/** Returns x with 0 in place of numbers whose magnitude is below `least`. */
// @ts-ignore: decorator
@inline
function allAbove(least: v128, x: v128): v128 {
  return v128.andnot(x, f32x4.lt(f32x4.abs(x), least));
}

/** Returns x, or 0 if its magnitude is below `least`. */
// @ts-ignore: decorator
@inline
function above(least: f32, x: f32): f32 {
  return abs(x) < least ? 0 : x;
}

/** partial[parts], grads[n], n, elements of a part. A unit is a part; the last ones may be short or empty. */
export function squareSum(r: usize, from: i32, to: i32): void {
  const partial = pointer(r, 0);
  const grads = pointer(r, 1);
  const n = int(r, 2);
  const stretch = int(r, 3);
  for (let part = from; part < to; part++) {
    const first = min(part * stretch, n);
    const last = min(first + stretch, n);
    const begin = grads + (<usize> first << 2);
    const end = grads + (<usize> last << 2);
    store<f32>(partial + (<usize> part << 2), squares(begin, end));
  }
}

/** Σ x² over [i, end), in 16 sums. */
// @ts-ignore: decorator
@inline
function squares(i: usize, end: usize): f32 {
  let sum0 = f32x4.splat(0);
  let sum1 = f32x4.splat(0);
  let sum2 = f32x4.splat(0);
  let sum3 = f32x4.splat(0);
  for (; i + 64 <= end; i += 64) {
    const x0 = v128.load(i);
    const x1 = v128.load(i, 16);
    const x2 = v128.load(i, 32);
    const x3 = v128.load(i, 48);
    sum0 = fma(x0, x0, sum0);
    sum1 = fma(x1, x1, sum1);
    sum2 = fma(x2, x2, sum2);
    sum3 = fma(x3, x3, sum3);
  }
  let rest: f32 = 0;
  for (; i < end; i += 4) {
    const x = load<f32>(i);
    rest += x * x;
  }
  const sum = f32x4.add(f32x4.add(sum0, sum1), f32x4.add(sum2, sum3));
  return (f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1)) +
    (f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3)) + rest;
}

/**
 * clip[2], metrics[slots,4], loss[1], partial[parts], key[4], parts, maxNorm, slots.
 * One unit. Sums in 64 bits: a sum that overflows 32 bits may still have a finite norm.
 */
export function clip(r: usize, _from: i32, _to: i32): void {
  const clip = pointer(r, 0);
  const loss = pointer(r, 2);
  const partial = pointer(r, 3);
  const parts = int(r, 5);
  const maxNorm = <f64> float(r, 6);
  const slot = load<u32>(pointer(r, 4), 8); // key[2]
  let square: f64 = 0;
  for (let i = 0; i < parts; i++) {
    square += <f64> load<f32>(partial + (<usize> i << 2));
  }
  const norm = sqrt(square);
  const mean = <f64> load<f32>(loss);
  const finite = isFinite(norm) && isFinite(mean);
  const scale = maxNorm === 0 ? 1 : min(1, maxNorm / (norm + 1e-6));
  const ok: f32 = finite ? 1 : 0;
  store<f32>(clip, <f32> scale);
  store<f32>(clip, ok, 4);
  if (slot < <u32> int(r, 7)) {
    const metrics = pointer(r, 1) + (<usize> slot << 4);
    store<f32>(metrics, <f32> mean);
    store<f32>(metrics, <f32> norm, 4);
    store<f32>(metrics, ok, 8);
    store<f32>(metrics, 0, 12);
  }
  store<f32>(loss, finite ? 0 : <f32> (mean + square));
}

/**
 * params[n], grads[n], m[n], v[n], clip[2], schedule[3], n, decayed, beta1, 1 - beta1, beta2, 1 - beta2, eps,
 * weightDecay. AdamW (arXiv 1711.05101). A unit is BLOCK elements.
 */
export function adamw(r: usize, from: i32, to: i32): void {
  const n = int(r, 6);
  const begin = from * BLOCK;
  const end = min(to * BLOCK, n);
  const clip = pointer(r, 4);
  if (load<f32>(clip, 4) === 0) {
    const grads = pointer(r, 1) + (<usize> begin << 2);
    memory.fill(grads, 0, <usize> (end - begin) << 2);
    return;
  }
  const decay = load<f32>(pointer(r, 5)) * float(r, 13);
  const middle = max(begin, min(end, int(r, 7)));
  if (begin < middle) update(r, begin, middle, decay);
  if (middle < end) update(r, middle, end, 0);
}

/** Updates elements [begin, end), all of which have the same decay. */
function update(r: usize, begin: i32, end: i32, decay: f32): void {
  const params = pointer(r, 0);
  const grads = pointer(r, 1);
  const m = pointer(r, 2);
  const v = pointer(r, 3);
  const scale = load<f32>(pointer(r, 4));
  const schedule = pointer(r, 5);
  // lr · (m / s₁) / (√(v / s₂) + eps) = (lr / s₁) · m / (√(v · (1 / s₂)) + eps)
  const rate = load<f32>(schedule) / load<f32>(schedule, 4);
  const correction: f32 = 1 / load<f32>(schedule, 8);
  const beta1 = float(r, 8);
  const new1 = float(r, 9);
  const beta2 = float(r, 10);
  const new2 = float(r, 11);
  const eps = float(r, 12);

  const scales = f32x4.splat(scale);
  const decays = f32x4.splat(-decay);
  const rates = f32x4.splat(-rate);
  const corrections = f32x4.splat(correction);
  const betas1 = f32x4.splat(beta1);
  const news1 = f32x4.splat(new1);
  const betas2 = f32x4.splat(beta2);
  const news2 = f32x4.splat(new2);
  const epsilons = f32x4.splat(eps);
  const zeros = f32x4.splat(0);
  const least = f32x4.splat(LEAST_NORMAL);

  const last = <usize> end << 2;
  let i = <usize> begin << 2;
  for (; i + 16 <= last; i += 16) {
    const g = f32x4.mul(scales, v128.load(grads + i));
    const p = v128.load(params + i);
    const mean = allAbove(least, fma(betas1, v128.load(m + i), f32x4.mul(news1, g)));
    const square = allAbove(least, fma(
      betas2,
      v128.load(v + i),
      f32x4.mul(f32x4.mul(news2, g), g),
    ));
    const root = f32x4.sqrt(f32x4.mul(square, corrections));
    const step = f32x4.div(f32x4.mul(rates, mean), f32x4.add(root, epsilons));
    v128.store(params + i, f32x4.add(fma(decays, p, p), step));
    v128.store(grads + i, zeros);
    v128.store(m + i, mean);
    v128.store(v + i, square);
  }
  for (; i < last; i += 4) {
    const g = scale * load<f32>(grads + i);
    const p = load<f32>(params + i);
    const mean = above(LEAST_NORMAL, beta1 * load<f32>(m + i) + new1 * g);
    const square = above(LEAST_NORMAL, beta2 * load<f32>(v + i) + new2 * g * g);
    const step = rate * mean / (sqrt(square * correction) + eps);
    store<f32>(params + i, p - decay * p - step);
    store<f32>(grads + i, 0);
    store<f32>(m + i, mean);
    store<f32>(v + i, square);
  }
}

/** direction[count,n], grads[span], m[span], clip[2], n, stride, momentum, shares of gradient and m in the direction. A unit is BLOCK elements of an array. */
export function momentum(r: usize, from: i32, to: i32): void {
  const n = int(r, 4);
  const blocks = blocksOf(n);
  const going = load<f32>(pointer(r, 3), 4) !== 0;
  for (let unit = from; unit < to; unit++) {
    const array = unit / blocks;
    const first = unit % blocks * BLOCK;
    const bytes = <usize> min(BLOCK, n - first) << 2;
    const direction = pointer(r, 0) + (<usize> (array * n + first) << 2);
    const at = <usize> (array * int(r, 5) + first) << 2;
    const grads = pointer(r, 1) + at;
    if (going) follow(r, direction, grads, pointer(r, 2) + at, bytes);
    else memory.fill(direction, 0, bytes);
    memory.fill(grads, 0, bytes);
  }
}

/** m = momentum · m + g; direction = fresh · g + kept · m. */
function follow(
  r: usize,
  direction: usize,
  grads: usize,
  m: usize,
  bytes: usize,
): void {
  const scale = load<f32>(pointer(r, 3));
  const momentum = float(r, 6);
  const fresh = float(r, 7);
  const kept = float(r, 8);
  const scales = f32x4.splat(scale);
  const momenta = f32x4.splat(momentum);
  const freshes = f32x4.splat(fresh);
  const kepts = f32x4.splat(kept);
  const least = f32x4.splat(LEAST_MOMENTUM);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    const g = f32x4.mul(scales, v128.load(grads + i));
    const mean = allAbove(least, fma(momenta, v128.load(m + i), g));
    v128.store(m + i, mean);
    v128.store(direction + i, fma(freshes, g, f32x4.mul(kepts, mean)));
  }
  for (; i < bytes; i += 4) {
    const g = scale * load<f32>(grads + i);
    const mean = above(LEAST_MOMENTUM, momentum * load<f32>(m + i) + g);
    store<f32>(m + i, mean);
    store<f32>(direction + i, fresh * g + kept * mean);
  }
}

/** y[count,n], x[count,n], partial[count,parts], n, parts, eps. A unit is BLOCK elements of an array; each adds up the array's parts. */
export function normalize(r: usize, from: i32, to: i32): void {
  const n = int(r, 3);
  const parts = int(r, 4);
  const blocks = blocksOf(n);
  for (let unit = from; unit < to; unit++) {
    const array = unit / blocks;
    const first = unit % blocks * BLOCK;
    let square: f64 = 0;
    for (let part = array * parts; part < (array + 1) * parts; part++) {
      square += <f64> load<f32>(pointer(r, 2) + (<usize> part << 2));
    }
    const factor = <f32> (1 / (sqrt(square) + <f64> float(r, 5)));
    const at = <usize> (array * n + first) << 2;
    const bytes = <usize> min(BLOCK, n - first) << 2;
    weigh(pointer(r, 0) + at, bytes, factor, pointer(r, 1) + at, NOTHING, 0, NOTHING);
  }
}

/** params[span], direction[count,n], clip[2], schedule[3], n, stride, decayed, rate, scale, weightDecay. A unit is BLOCK elements of an array. */
export function descend(r: usize, from: i32, to: i32): void {
  if (load<f32>(pointer(r, 2), 4) === 0) return;
  const n = int(r, 4);
  const blocks = blocksOf(n);
  const learningRate = float(r, 7) * load<f32>(pointer(r, 3));
  const step = learningRate * float(r, 8);
  const decay = learningRate * float(r, 9);
  for (let unit = from; unit < to; unit++) {
    const array = unit / blocks;
    const begin = unit % blocks * BLOCK;
    const end = min(begin + BLOCK, n);
    const middle = max(begin, min(end, int(r, 6)));
    const params = pointer(r, 0) + (<usize> (array * int(r, 5)) << 2);
    const direction = pointer(r, 1) + (<usize> (array * n) << 2);
    if (begin < middle) move(params, direction, begin, middle, decay, step);
    if (middle < end) move(params, direction, middle, end, 0, step);
  }
}

/** p -= decay · p + step · direction, for elements [begin, end). */
function move(
  params: usize,
  direction: usize,
  begin: i32,
  end: i32,
  decay: f32,
  step: f32,
): void {
  const decays = f32x4.splat(-decay);
  const steps = f32x4.splat(-step);
  const last = <usize> end << 2;
  let i = <usize> begin << 2;
  for (; i + 16 <= last; i += 16) {
    const p = v128.load(params + i);
    const kept = fma(decays, p, p);
    v128.store(params + i, fma(steps, v128.load(direction + i), kept));
  }
  for (; i < last; i += 4) {
    const p = load<f32>(params + i);
    store<f32>(params + i, p - decay * p - step * load<f32>(direction + i));
  }
}

/** Units of an array of n elements. */
// @ts-ignore: decorator
@inline
function blocksOf(n: i32): i32 {
  return (n + BLOCK - 1) / BLOCK;
}
