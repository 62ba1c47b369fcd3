// Functions of one number, and their derivatives: the activations, SwiGLU and the logit
// softcap. The formulas are explained in lib/backends/reference/activation.ts. A unit is
// BLOCK elements; those that fill no vector are computed as part of one.

import { BLOCK, GELU, GELU_TANH, RELU, RELU2 } from "../codes";
import {
  bell,
  exp2,
  fma,
  fnma,
  normalDistribution,
  one,
  sigmoid,
  tanh,
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
  // 1 / √(2π)
  0.3989422804014327, 0.3989422804014327, 0.3989422804014327, 0.3989422804014327,
  // -log2 e
  -1.4426950408889634, -1.4426950408889634, -1.4426950408889634, -1.4426950408889634,
], 64);

const GELU_A: i32 = 0;
const GELU_B: i32 = 1;
const GELU_C: i32 = 2;
const GELU_D: i32 = 3;
const DENSITY: i32 = 4;
const MINUS_LOG2_E: i32 = 5;

// @ts-ignore: decorator
@inline
function constant(i: i32): v128 {
  return v128.load(table + (<usize> i << 4));
}

/** The activation of four numbers. */
// @ts-ignore: decorator
@inline
function value(kind: i32, x: v128): v128 {
  if (kind === GELU_TANH) {
    // ½(1 + tanh u) = 1 / (1 + exp(-2u))
    const square = f32x4.mul(x, x);
    const w = f32x4.mul(x, fma(square, constant(GELU_B), constant(GELU_A)));
    return f32x4.div(x, f32x4.add(one(), exp2(w)));
  }
  if (kind === GELU) {
    return f32x4.mul(x, normalDistribution(x, bell(x)));
  }
  const positive = f32x4.pmax(x, f32x4.splat(0)); // NaN stays
  return kind === RELU ? positive : f32x4.mul(positive, positive);
}

/** Its derivative. */
// @ts-ignore: decorator
@inline
function slope(kind: i32, x: v128): v128 {
  if (kind === GELU_TANH) {
    // (x σ(v))′ = σ + x σ (1 - σ) v′, v = 2u
    const square = f32x4.mul(x, x);
    const w = f32x4.mul(x, fma(square, constant(GELU_B), constant(GELU_A)));
    const e = exp2(w);
    const s = f32x4.div(one(), f32x4.add(one(), e));
    const dv = fma(square, constant(GELU_D), constant(GELU_C));
    return fma(f32x4.mul(f32x4.mul(x, s), complement(e, s)), dv, s);
  }
  if (kind === GELU) {
    const density = bell(x);
    const scaled = f32x4.mul(x, constant(DENSITY));
    return fma(scaled, density, normalDistribution(x, density));
  }
  if (kind === RELU) {
    return v128.and(one(), f32x4.gt(x, f32x4.splat(0)));
  }
  const positive = f32x4.pmax(x, f32x4.splat(0));
  return f32x4.add(positive, positive);
}

/** 1 - s of a sigmoid s = 1 / (1 + e), with all its digits; also where e is infinite, e·s not being a number. */
// @ts-ignore: decorator
@inline
function complement(e: v128, s: v128): v128 {
  return f32x4.pmin(one(), f32x4.mul(e, s));
}

/** y, x, n, kind */
export function activation(r: usize, from: i32, to: i32): void {
  const kind = int(r, 3);
  if (kind === GELU_TANH) forward(GELU_TANH, r, from, to);
  else if (kind === GELU) forward(GELU, r, from, to);
  else if (kind === RELU) forward(RELU, r, from, to);
  else forward(RELU2, r, from, to);
}

// Inline, so that each kind has a loop without questions.
// @ts-ignore: decorator
@inline
function forward(kind: i32, r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const x = pointer(r, 1);
  const end = min(to * BLOCK, int(r, 2));
  let i = from * BLOCK;
  for (; i + 4 <= end; i += 4) {
    const at = <usize> i << 2;
    v128.store(y + at, value(kind, v128.load(x + at)));
  }
  if (i < end) {
    const at = <usize> i << 2;
    storeFirst(y + at, value(kind, loadFirst(x + at, end - i)), end - i);
  }
}

/** dx, dy, x, n, kind */
export function activationBackward(r: usize, from: i32, to: i32): void {
  const kind = int(r, 4);
  if (kind === GELU_TANH) backward(GELU_TANH, r, from, to);
  else if (kind === GELU) backward(GELU, r, from, to);
  else if (kind === RELU) backward(RELU, r, from, to);
  else backward(RELU2, r, from, to);
}

// @ts-ignore: decorator
@inline
function backward(kind: i32, r: usize, from: i32, to: i32): void {
  const dx = pointer(r, 0);
  const dy = pointer(r, 1);
  const x = pointer(r, 2);
  const end = min(to * BLOCK, int(r, 3));
  let i = from * BLOCK;
  for (; i + 4 <= end; i += 4) {
    const at = <usize> i << 2;
    const d = slope(kind, v128.load(x + at));
    v128.store(dx + at, f32x4.mul(v128.load(dy + at), d));
  }
  if (i < end) {
    const at = <usize> i << 2;
    const d = slope(kind, loadFirst(x + at, end - i));
    const product = f32x4.mul(loadFirst(dy + at, end - i), d);
    storeFirst(dx + at, product, end - i);
  }
}

/** y, gate, x, n */
export function swiglu(r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const gate = pointer(r, 1);
  const x = pointer(r, 2);
  const end = min(to * BLOCK, int(r, 3));
  let i = from * BLOCK;
  for (; i + 4 <= end; i += 4) {
    const at = <usize> i << 2;
    const silu = siluOf(v128.load(gate + at));
    v128.store(y + at, f32x4.mul(silu, v128.load(x + at)));
  }
  if (i < end) {
    const at = <usize> i << 2;
    const silu = siluOf(loadFirst(gate + at, end - i));
    const product = f32x4.mul(silu, loadFirst(x + at, end - i));
    storeFirst(y + at, product, end - i);
  }
}

// @ts-ignore: decorator
@inline
function siluOf(g: v128): v128 {
  return f32x4.mul(g, sigmoid(g));
}

/** dgate, dx, dy, gate, x, n */
export function swigluBackward(r: usize, from: i32, to: i32): void {
  const dgate = pointer(r, 0);
  const dx = pointer(r, 1);
  const dy = pointer(r, 2);
  const gate = pointer(r, 3);
  const x = pointer(r, 4);
  const end = min(to * BLOCK, int(r, 5));
  for (let i = from * BLOCK; i < end; i += 4) {
    const at = <usize> i << 2;
    const whole = i + 4 <= end;
    const d = whole ? v128.load(dy + at) : loadFirst(dy + at, end - i);
    const g = whole ? v128.load(gate + at) : loadFirst(gate + at, end - i);
    const v = whole ? v128.load(x + at) : loadFirst(x + at, end - i);
    const e = exp2(f32x4.mul(g, constant(MINUS_LOG2_E)));
    const s = f32x4.div(one(), f32x4.add(one(), e));
    // silu′ = σ + g σ (1 - σ)
    const silu = f32x4.mul(g, s);
    const dsilu = fma(silu, complement(e, s), s);
    const product = f32x4.mul(f32x4.mul(d, v), dsilu);
    const through = f32x4.mul(d, silu);
    if (whole) {
      v128.store(dgate + at, product);
      v128.store(dx + at, through);
    } else {
      storeFirst(dgate + at, product, end - i);
      storeFirst(dx + at, through, end - i);
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
    const d = fnma(t, t, one());
    v128.store(dx + at, f32x4.mul(v128.load(dy + at), d));
  }
  if (i < end) {
    const at = <usize> i << 2;
    const t = f32x4.mul(loadFirst(y + at, end - i), inverse);
    const d = fnma(t, t, one());
    const product = f32x4.mul(loadFirst(dy + at, end - i), d);
    storeFirst(dx + at, product, end - i);
  }
}
