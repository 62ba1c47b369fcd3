// Functions of one number, and their derivatives: the activations, SwiGLU and the logit
// softcap. The formulas are explained in kernels/reference/activation.ts. A unit is
// BLOCK elements.

import { BLOCK, GELU, GELU_TANH, RELU } from "../codes";
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

// First the kernels, then, in the same order, their loops. A loop computes whole vectors. The
// last one may reach past the end of an array: it may read there, but its result is first written
// to the thread's scratch memory, so that nothing after the array is overwritten.
// If a loop computes little more than an exponential, its constants are loaded before it;
// see power in math.ts.

/** y, x, n, kind */
export function activation(r: usize, from: i32, to: i32, scratch: usize): void {
  const begin = beginOf(from);
  const bytes = bytesOf(from, to, int(r, 2));
  activate(int(r, 3), pointer(r, 0) + begin, pointer(r, 1) + begin, bytes, scratch);
}

/** y = f(x), over `bytes` bytes. Scratch: 16 bytes. */
export function activate(kind: i32, y: usize, x: usize, bytes: usize, scratch: usize): void {
  const rest = bytes & 15;
  const whole = bytes - rest;
  values(kind, y, x, whole);
  if (rest === 0) return;
  values(kind, scratch, x + whole, 16);
  memory.copy(y + whole, scratch, rest);
}

/** dx, dy, x, n, kind */
export function activationBackward(
  r: usize,
  from: i32,
  to: i32,
  scratch: usize,
): void {
  const begin = beginOf(from);
  const bytes = bytesOf(from, to, int(r, 3));
  slope(int(r, 4), pointer(r, 0) + begin, pointer(r, 1) + begin, pointer(r, 2) + begin, bytes, scratch);
}

/** dx = dy · f'(x), over `bytes` bytes; dx may be dy. Scratch: 16 bytes. */
export function slope(
  kind: i32,
  dx: usize,
  dy: usize,
  x: usize,
  bytes: usize,
  scratch: usize,
): void {
  const rest = bytes & 15;
  const whole = bytes - rest;
  gradients(kind, dx, dy, x, whole);
  if (rest === 0) return;
  gradients(kind, scratch, dy + whole, x + whole, 16);
  memory.copy(dx + whole, scratch, rest);
}

/** y, gate, x, n */
export function swiglu(r: usize, from: i32, to: i32, scratch: usize): void {
  const begin = beginOf(from);
  const bytes = bytesOf(from, to, int(r, 3));
  const rest = bytes & 15;
  const whole = bytes - rest;
  const y = pointer(r, 0) + begin;
  const gate = pointer(r, 1) + begin;
  const x = pointer(r, 2) + begin;
  gated(y, gate, x, whole);
  if (rest === 0) return;
  gated(scratch, gate + whole, x + whole, 16);
  memory.copy(y + whole, scratch, rest);
}

/** dgate, dx, dy, gate, x, n */
export function swigluBackward(
  r: usize,
  from: i32,
  to: i32,
  scratch: usize,
): void {
  const begin = beginOf(from);
  const bytes = bytesOf(from, to, int(r, 5));
  const rest = bytes & 15;
  const whole = bytes - rest;
  const dgate = pointer(r, 0) + begin;
  const dx = pointer(r, 1) + begin;
  const dy = pointer(r, 2) + begin;
  const gate = pointer(r, 3) + begin;
  const x = pointer(r, 4) + begin;
  gatedBackward(dgate, dx, dy, gate, x, whole);
  if (rest === 0) return;
  gatedBackward(scratch, scratch + 16, dy + whole, gate + whole, x + whole, 16);
  memory.copy(dgate + whole, scratch, rest);
  memory.copy(dx + whole, scratch + 16, rest);
}

/** y, x, n, cap, 1 / cap */
export function softcap(r: usize, from: i32, to: i32, scratch: usize): void {
  const begin = beginOf(from);
  const bytes = bytesOf(from, to, int(r, 2));
  const rest = bytes & 15;
  const whole = bytes - rest;
  const y = pointer(r, 0) + begin;
  const x = pointer(r, 1) + begin;
  const cap = float(r, 3);
  const inverse = float(r, 4);
  capped(y, x, whole, cap, inverse);
  if (rest === 0) return;
  capped(scratch, x + whole, 16, cap, inverse);
  memory.copy(y + whole, scratch, rest);
}

/** dx, dy, y, n, 1 / cap */
export function softcapBackward(
  r: usize,
  from: i32,
  to: i32,
  scratch: usize,
): void {
  const begin = beginOf(from);
  const bytes = bytesOf(from, to, int(r, 3));
  const rest = bytes & 15;
  const whole = bytes - rest;
  const dx = pointer(r, 0) + begin;
  const dy = pointer(r, 1) + begin;
  const y = pointer(r, 2) + begin;
  const inverse = float(r, 4);
  cappedBackward(dx, dy, y, whole, inverse);
  if (rest === 0) return;
  cappedBackward(scratch, dy + whole, y + whole, 16, inverse);
  memory.copy(dx + whole, scratch, rest);
}

/** Returns the byte offset at which unit `from` begins. */
// @ts-ignore: decorator
@inline
function beginOf(from: i32): usize {
  return <usize> from * BLOCK << 2;
}

/** Returns the bytes of units [from, to) of n numbers. */
// @ts-ignore: decorator
@inline
function bytesOf(from: i32, to: i32, n: i32): usize {
  return <usize> (min(to * BLOCK, n) - from * BLOCK) << 2;
}

/** y = f(x) */
function values(kind: i32, y: usize, x: usize, bytes: usize): void {
  if (kind === GELU_TANH) return geluTanh(y, x, bytes);
  if (kind === GELU) {
    for (let i: usize = 0; i < bytes; i += 16) {
      const v = v128.load(x + i);
      v128.store(y + i, f32x4.mul(v, normalDistribution(v, bell(v))));
    }
  } else if (kind === RELU) {
    for (let i: usize = 0; i < bytes; i += 16) {
      // NaN stays.
      v128.store(y + i, f32x4.pmax(v128.load(x + i), f32x4.splat(0)));
    }
  } else {
    for (let i: usize = 0; i < bytes; i += 16) {
      const positive = f32x4.pmax(v128.load(x + i), f32x4.splat(0));
      v128.store(y + i, f32x4.mul(positive, positive));
    }
  }
}

function geluTanh(y: usize, x: usize, bytes: usize): void {
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
  for (let i: usize = 0; i < bytes; i += 16) {
    const v = v128.load(x + i);
    // ½(1 + tanh u) = 1 / (1 + exp(-2u))
    const near = f32x4.pmax(f32x4.pmin(v, highest), lowest);
    const w = f32x4.mul(near, fma(f32x4.mul(near, near), b, a));
    const e = power(w, rounder, two, c1, c2, c3, c4, c5);
    v128.store(y + i, f32x4.div(v, f32x4.add(one, e)));
  }
}

/** dx = dy · f′(x) */
function gradients(
  kind: i32,
  dx: usize,
  dy: usize,
  x: usize,
  bytes: usize,
): void {
  if (kind === GELU_TANH) return geluTanhBackward(dx, dy, x, bytes);
  if (kind === GELU) {
    for (let i: usize = 0; i < bytes; i += 16) {
      // Φ + x φ
      const v = v128.load(x + i);
      const e = bell(v);
      const bend = f32x4.mul(v, own(DENSITY));
      const slope = fma(bend, e, normalDistribution(v, e));
      v128.store(dx + i, f32x4.mul(v128.load(dy + i), slope));
    }
  } else if (kind === RELU) {
    for (let i: usize = 0; i < bytes; i += 16) {
      const isPositive = f32x4.gt(v128.load(x + i), f32x4.splat(0));
      const slope = v128.and(isPositive, constant(ONE));
      v128.store(dx + i, f32x4.mul(v128.load(dy + i), slope));
    }
  } else {
    for (let i: usize = 0; i < bytes; i += 16) {
      const positive = f32x4.pmax(v128.load(x + i), f32x4.splat(0));
      const slope = f32x4.add(positive, positive);
      v128.store(dx + i, f32x4.mul(v128.load(dy + i), slope));
    }
  }
}

function geluTanhBackward(dx: usize, dy: usize, x: usize, bytes: usize): void {
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
  for (let i: usize = 0; i < bytes; i += 16) {
    const v = v128.load(x + i);
    const near = f32x4.pmax(f32x4.pmin(v, highest), lowest);
    const square = f32x4.mul(near, near);
    const w = f32x4.mul(near, fma(square, b, a));
    const e = power(w, rounder, two, c1, c2, c3, c4, c5);
    const s = f32x4.div(one, f32x4.add(one, e));
    // (x σ)′ = σ + x σ (1 - σ) · (2u)′, and 1 - σ = e σ
    const du = fma(square, own(GELU_D), own(GELU_C));
    const bend = f32x4.mul(f32x4.mul(v, s), f32x4.mul(e, s));
    v128.store(dx + i, f32x4.mul(v128.load(dy + i), fma(bend, du, s)));
  }
}

/** y = silu(gate) · x */
function gated(y: usize, gate: usize, x: usize, bytes: usize): void {
  const minusLog2E = constant(MINUS_LOG2_E);
  const lowest = constant(EXP2_LOWEST);
  const highest = constant(EXP2_HIGHEST);
  const one = constant(ONE);
  const rounder = constant(ROUNDER);
  const two = constant(TWO);
  const c1 = constant(EXP2_1);
  const c2 = constant(EXP2_2);
  const c3 = constant(EXP2_3);
  const c4 = constant(EXP2_4);
  const c5 = constant(EXP2_5);
  for (let i: usize = 0; i < bytes; i += 16) {
    const g = v128.load(gate + i);
    const w = f32x4.pmin(f32x4.mul(g, minusLog2E), highest);
    const inRange = f32x4.pmax(w, lowest);
    const e = power(inRange, rounder, two, c1, c2, c3, c4, c5);
    const silu = f32x4.div(g, f32x4.add(one, e));
    v128.store(y + i, f32x4.mul(v128.load(x + i), silu));
  }
}

/** dgate = dy · x · silu′(gate), dx = dy · silu(gate) */
function gatedBackward(
  dgate: usize,
  dx: usize,
  dy: usize,
  gate: usize,
  x: usize,
  bytes: usize,
): void {
  const minusLog2E = constant(MINUS_LOG2_E);
  const lowest = constant(EXP2_LOWEST);
  const highest = constant(EXP2_HIGHEST);
  const one = constant(ONE);
  const rounder = constant(ROUNDER);
  const two = constant(TWO);
  const c1 = constant(EXP2_1);
  const c2 = constant(EXP2_2);
  const c3 = constant(EXP2_3);
  const c4 = constant(EXP2_4);
  const c5 = constant(EXP2_5);
  for (let i: usize = 0; i < bytes; i += 16) {
    const g = v128.load(gate + i);
    const w = f32x4.pmin(f32x4.mul(g, minusLog2E), highest);
    const inRange = f32x4.pmax(w, lowest);
    const e = power(inRange, rounder, two, c1, c2, c3, c4, c5);
    const s = f32x4.div(one, f32x4.add(one, e));
    // silu′ = σ + g σ (1 - σ); 1 - σ = e σ, but for an infinite e 1.
    const silu = f32x4.mul(g, s);
    const slope = fma(silu, f32x4.pmin(one, f32x4.mul(e, s)), s);
    const d = v128.load(dy + i);
    v128.store(dgate + i, f32x4.mul(f32x4.mul(d, v128.load(x + i)), slope));
    v128.store(dx + i, f32x4.mul(d, silu));
  }
}

/** y = cap · tanh(x / cap) */
function capped(
  y: usize,
  x: usize,
  bytes: usize,
  cap: f32,
  inverse: f32,
): void {
  const scale = f32x4.splat(inverse);
  const caps = f32x4.splat(cap);
  for (let i: usize = 0; i < bytes; i += 16) {
    const t = tanh(f32x4.mul(v128.load(x + i), scale));
    v128.store(y + i, f32x4.mul(caps, t));
  }
}

/** dx = dy · (1 - (y / cap)²) */
function cappedBackward(
  dx: usize,
  dy: usize,
  y: usize,
  bytes: usize,
  inverse: f32,
): void {
  const scale = f32x4.splat(inverse);
  for (let i: usize = 0; i < bytes; i += 16) {
    const t = f32x4.mul(v128.load(y + i), scale);
    const slope = fnma(t, t, constant(ONE));
    v128.store(dx + i, f32x4.mul(v128.load(dy + i), slope));
  }
}
