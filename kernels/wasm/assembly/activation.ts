// Functions of one number, and their derivatives: the activations, SwiGLU and the logit
// softcap. The formulas are explained in lib/backends/reference/activation.ts. A unit is
// BLOCK elements; those that fill no vector are computed as part of one.

import { BLOCK, GELU, GELU_TANH, RELU, RELU2 } from "../codes";
import {
  bell,
  constant,
  EXP2_1,
  EXP2_2,
  EXP2_3,
  EXP2_4,
  EXP2_5,
  EXP2_HIGHEST,
  EXP2_LOWEST,
  fma,
  fnma,
  MINUS_LOG2_E,
  normalDistribution,
  ONE,
  power,
  ROUNDER,
  tanh,
  TWO,
} from "./math";
import { float, int, pointer } from "./record";
import { loadFirst, storeFirst } from "./vector";

/** Every constant four times; see math.ts. */
const table = memory.data<f32>([
  // geluTanh(x) = x / (1 + 2^w), w = -2 √(2/π) log2 e · (x + 0.044715 x³) = x (a + b x²).
  -2.302208198144325, -2.302208198144325, -2.302208198144325, -2.302208198144325,
  -0.1029432395800235, -0.1029432395800235, -0.1029432395800235, -0.1029432395800235,
  // The derivative of 2 √(2/π) (x + 0.044715 x³) is c + d x².
  1.5957691216057308, 1.5957691216057308, 1.5957691216057308, 1.5957691216057308,
  0.2140644488178007, 0.2140644488178007, 0.2140644488178007, 0.2140644488178007,
  // Where w is 129, so that 2^w is infinite; 126; and -126, so that it is 0.
  -10.091, -10.091, -10.091, -10.091,
  -10.0, -10.0, -10.0, -10.0,
  10.0, 10.0, 10.0, 10.0,
  // 1 / √(2π)
  0.3989422804014327, 0.3989422804014327, 0.3989422804014327, 0.3989422804014327,
], 64);

const GELU_A: i32 = 0;
const GELU_B: i32 = 1;
const GELU_C: i32 = 2;
const GELU_D: i32 = 3;
const GELU_LOWEST: i32 = 4;
const GELU_LOWEST_FINITE: i32 = 5;
const GELU_HIGHEST: i32 = 6;
const DENSITY: i32 = 7;

// @ts-ignore: decorator
@inline
function own(i: i32): v128 {
  return v128.load(table + (<usize> i << 4));
}

// Where a loop has little to do but an exponential, its constants are loaded before it;
// see exp2With.

/** y, x, n, kind */
export function activation(r: usize, from: i32, to: i32): void {
  const kind = int(r, 3);
  if (kind === GELU_TANH) geluTanh(r, from, to);
  else if (kind === GELU) forward(GELU, r, from, to);
  else if (kind === RELU) forward(RELU, r, from, to);
  else forward(RELU2, r, from, to);
}

function geluTanh(r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const x = pointer(r, 1);
  const end = <usize> min(to * BLOCK, int(r, 2)) << 2;
  const a = own(GELU_A);
  const b = own(GELU_B);
  const lowest = own(GELU_LOWEST);
  const highest = own(GELU_HIGHEST);
  const one = constant(ONE);
  const rounder = constant(ROUNDER);
  const two = constant(TWO);
  const c1 = constant(EXP2_1);
  const c2 = constant(EXP2_2);
  const c3 = constant(EXP2_3);
  const c4 = constant(EXP2_4);
  const c5 = constant(EXP2_5);
  let i = <usize> from * BLOCK << 2;
  for (; i < end; i += 16) {
    const whole = i + 16 <= end;
    const count = <i32> (end - i) >> 2;
    const v = whole ? v128.load(x + i) : loadFirst(x + i, count);
    // ½(1 + tanh u) = 1 / (1 + exp(-2u))
    const near = f32x4.pmax(f32x4.pmin(v, highest), lowest);
    const w = f32x4.mul(near, fma(f32x4.mul(near, near), b, a));
    const e = power(w, rounder, two, c1, c2, c3, c4, c5);
    const result = f32x4.div(v, f32x4.add(one, e));
    if (!whole) return storeFirst(y + i, result, count);
    v128.store(y + i, result);
  }
}

/** The other activations of four numbers. */
// @ts-ignore: decorator
@inline
function value(kind: i32, x: v128): v128 {
  if (kind === GELU) {
    return f32x4.mul(x, normalDistribution(x, bell(x)));
  }
  const positive = f32x4.pmax(x, f32x4.splat(0)); // NaN stays
  return kind === RELU ? positive : f32x4.mul(positive, positive);
}

// Inline, so that each kind has a loop without questions.
// @ts-ignore: decorator
@inline
function forward(kind: i32, r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const x = pointer(r, 1);
  const end = min(to * BLOCK, int(r, 2));
  for (let i = from * BLOCK; i < end; i += 4) {
    const at = <usize> i << 2;
    const count = end - i;
    if (count < 4) {
      storeFirst(y + at, value(kind, loadFirst(x + at, count)), count);
    } else v128.store(y + at, value(kind, v128.load(x + at)));
  }
}

/** dx, dy, x, n, kind */
export function activationBackward(r: usize, from: i32, to: i32): void {
  const kind = int(r, 4);
  if (kind === GELU_TANH) geluTanhBackward(r, from, to);
  else if (kind === GELU) backward(GELU, r, from, to);
  else if (kind === RELU) backward(RELU, r, from, to);
  else backward(RELU2, r, from, to);
}

function geluTanhBackward(r: usize, from: i32, to: i32): void {
  const dx = pointer(r, 0);
  const dy = pointer(r, 1);
  const x = pointer(r, 2);
  const end = <usize> min(to * BLOCK, int(r, 3)) << 2;
  const a = own(GELU_A);
  const b = own(GELU_B);
  const lowest = own(GELU_LOWEST_FINITE);
  const highest = own(GELU_HIGHEST);
  const one = constant(ONE);
  const rounder = constant(ROUNDER);
  const two = constant(TWO);
  const c1 = constant(EXP2_1);
  const c2 = constant(EXP2_2);
  const c3 = constant(EXP2_3);
  const c4 = constant(EXP2_4);
  const c5 = constant(EXP2_5);
  for (let i = <usize> from * BLOCK << 2; i < end; i += 16) {
    const whole = i + 16 <= end;
    const count = <i32> (end - i) >> 2;
    const v = whole ? v128.load(x + i) : loadFirst(x + i, count);
    const near = f32x4.pmax(f32x4.pmin(v, highest), lowest);
    const square = f32x4.mul(near, near);
    const w = f32x4.mul(near, fma(square, b, a));
    const e = power(w, rounder, two, c1, c2, c3, c4, c5);
    const s = f32x4.div(one, f32x4.add(one, e));
    // (x σ)′ = σ + x σ (1 - σ) · (2u)′, 1 - σ = e σ
    const du = fma(square, own(GELU_D), own(GELU_C));
    const bend = f32x4.mul(f32x4.mul(v, s), f32x4.mul(e, s));
    const slope = fma(bend, du, s);
    const d = whole ? v128.load(dy + i) : loadFirst(dy + i, count);
    const result = f32x4.mul(d, slope);
    if (!whole) return storeFirst(dx + i, result, count);
    v128.store(dx + i, result);
  }
}

/** 1 - s of s = 1 / (1 + e), with all its digits; also where e is infinite and e·s is not a number. */
// @ts-ignore: decorator
@inline
function complement(one: v128, e: v128, s: v128): v128 {
  return f32x4.pmin(one, f32x4.mul(e, s));
}

/** The derivative of the other activations. */
// @ts-ignore: decorator
@inline
function slope(kind: i32, x: v128): v128 {
  if (kind === GELU) {
    // Φ + x φ
    const density = bell(x);
    const scaled = f32x4.mul(x, own(DENSITY));
    return fma(scaled, density, normalDistribution(x, density));
  }
  if (kind === RELU) {
    return v128.and(constant(ONE), f32x4.gt(x, f32x4.splat(0)));
  }
  const positive = f32x4.pmax(x, f32x4.splat(0));
  return f32x4.add(positive, positive);
}

// @ts-ignore: decorator
@inline
function backward(kind: i32, r: usize, from: i32, to: i32): void {
  const dx = pointer(r, 0);
  const dy = pointer(r, 1);
  const x = pointer(r, 2);
  const end = min(to * BLOCK, int(r, 3));
  for (let i = from * BLOCK; i < end; i += 4) {
    const at = <usize> i << 2;
    const count = end - i;
    if (count < 4) {
      const d = loadFirst(dy + at, count);
      const result = f32x4.mul(d, slope(kind, loadFirst(x + at, count)));
      storeFirst(dx + at, result, count);
    } else {
      const d = v128.load(dy + at);
      v128.store(dx + at, f32x4.mul(d, slope(kind, v128.load(x + at))));
    }
  }
}

/** y, gate, x, n */
export function swiglu(r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const gate = pointer(r, 1);
  const x = pointer(r, 2);
  const end = min(to * BLOCK, int(r, 3));
  const minusLog2E = constant(MINUS_LOG2_E);
  const one = constant(ONE);
  const lowest = constant(EXP2_LOWEST);
  const highest = constant(EXP2_HIGHEST);
  const rounder = constant(ROUNDER);
  const two = constant(TWO);
  const c1 = constant(EXP2_1);
  const c2 = constant(EXP2_2);
  const c3 = constant(EXP2_3);
  const c4 = constant(EXP2_4);
  const c5 = constant(EXP2_5);
  for (let i = from * BLOCK; i < end; i += 4) {
    const at = <usize> i << 2;
    const count = end - i;
    const g = count < 4 ? loadFirst(gate + at, count) : v128.load(gate + at);
    const v = count < 4 ? loadFirst(x + at, count) : v128.load(x + at);
    const w = f32x4.pmin(f32x4.mul(g, minusLog2E), highest);
    const inRange = f32x4.pmax(w, lowest);
    const e = power(inRange, rounder, two, c1, c2, c3, c4, c5);
    const result = f32x4.mul(v, f32x4.div(g, f32x4.add(one, e)));
    if (count < 4) storeFirst(y + at, result, count);
    else v128.store(y + at, result);
  }
}

/** dgate, dx, dy, gate, x, n */
export function swigluBackward(r: usize, from: i32, to: i32): void {
  const dgate = pointer(r, 0);
  const dx = pointer(r, 1);
  const dy = pointer(r, 2);
  const gate = pointer(r, 3);
  const x = pointer(r, 4);
  const end = min(to * BLOCK, int(r, 5));
  const minusLog2E = constant(MINUS_LOG2_E);
  const one = constant(ONE);
  const lowest = constant(EXP2_LOWEST);
  const highest = constant(EXP2_HIGHEST);
  const rounder = constant(ROUNDER);
  const two = constant(TWO);
  const c1 = constant(EXP2_1);
  const c2 = constant(EXP2_2);
  const c3 = constant(EXP2_3);
  const c4 = constant(EXP2_4);
  const c5 = constant(EXP2_5);
  for (let i = from * BLOCK; i < end; i += 4) {
    const at = <usize> i << 2;
    const count = end - i;
    const d = count < 4 ? loadFirst(dy + at, count) : v128.load(dy + at);
    const g = count < 4 ? loadFirst(gate + at, count) : v128.load(gate + at);
    const v = count < 4 ? loadFirst(x + at, count) : v128.load(x + at);
    const w = f32x4.pmin(f32x4.mul(g, minusLog2E), highest);
    const inRange = f32x4.pmax(w, lowest);
    const e = power(inRange, rounder, two, c1, c2, c3, c4, c5);
    const s = f32x4.div(one, f32x4.add(one, e));
    // silu′ = σ + g σ (1 - σ)
    const silu = f32x4.mul(g, s);
    const dsilu = fma(silu, complement(one, e, s), s);
    const toGate = f32x4.mul(f32x4.mul(d, v), dsilu);
    const toX = f32x4.mul(d, silu);
    if (count < 4) {
      storeFirst(dgate + at, toGate, count);
      storeFirst(dx + at, toX, count);
    } else {
      v128.store(dgate + at, toGate);
      v128.store(dx + at, toX);
    }
  }
}

/** y, x, n, cap, 1 / cap */
export function softcap(r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const x = pointer(r, 1);
  const end = min(to * BLOCK, int(r, 2));
  const cap = f32x4.splat(float(r, 3));
  const inverse = f32x4.splat(float(r, 4));
  let i = from * BLOCK;
  for (; i + 4 <= end; i += 4) {
    const at = <usize> i << 2;
    const t = tanh(f32x4.mul(v128.load(x + at), inverse));
    v128.store(y + at, f32x4.mul(cap, t));
  }
  if (i < end) {
    const at = <usize> i << 2;
    const t = tanh(f32x4.mul(loadFirst(x + at, end - i), inverse));
    storeFirst(y + at, f32x4.mul(cap, t), end - i);
  }
}

/** dx, dy, y, n, 1 / cap */
export function softcapBackward(r: usize, from: i32, to: i32): void {
  const dx = pointer(r, 0);
  const dy = pointer(r, 1);
  const y = pointer(r, 2);
  const end = min(to * BLOCK, int(r, 3));
  const inverse = f32x4.splat(float(r, 4));
  let i = from * BLOCK;
  for (; i + 4 <= end; i += 4) {
    const at = <usize> i << 2;
    const t = f32x4.mul(v128.load(y + at), inverse);
    const d = fnma(t, t, constant(ONE));
    v128.store(dx + at, f32x4.mul(v128.load(dy + at), d));
  }
  if (i < end) {
    const at = <usize> i << 2;
    const t = f32x4.mul(loadFirst(y + at, end - i), inverse);
    const d = fnma(t, t, constant(ONE));
    const product = f32x4.mul(loadFirst(dy + at, end - i), d);
    storeFirst(dx + at, product, end - i);
  }
}
