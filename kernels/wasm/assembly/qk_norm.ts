// The norm of query and key heads. The formulas are explained in kernels/reference/qk_norm.ts.

import { COLUMNS } from "../codes";
import { fma } from "./math";
import { float, int, pointer } from "./record";
import { product, squares } from "./sums";
import { copyNumbers } from "./vector";

/** y, roots or 0, qkv, gains of queries and of keys or 0, rows, NH, NKV, HS, rows of a unit, eps */
export function qkNorm(r: usize, from: i32, to: i32): void {
  const NH = int(r, 6);
  const NKV = int(r, 7);
  const HS = int(r, 8);
  const perUnit = int(r, 9);
  const eps = float(r, 10);
  const heads = NH + 2 * NKV;
  const end = min(to * perUnit, int(r, 5));
  const size = <usize> HS << 2;
  for (let row = from * perUnit; row < end; row++) {
    let at = <usize> row * <usize> heads;
    let y = pointer(r, 0) + at * size;
    let x = pointer(r, 2) + at * size;
    let roots = pointer(r, 1) + (at << 2);
    for (let head = 0; head < NH + NKV; head++) {
      const root = reciprocalRoot(x, HS, eps);
      const gain = pointer(r, head < NH ? 3 : 4);
      const scale = f32x4.splat(root);
      let i: usize = 0;
      for (; i + 16 <= size; i += 16) {
        v128.store(y + i, f32x4.mul(v128.load(x + i), scale));
      }
      for (; i < size; i += 4) store<f32>(y + i, load<f32>(x + i) * root);
      if (gain !== 0) {
        multiply(y, y, gain, size);
        store<f32>(roots, root);
      }
      y += size;
      x += size;
      roots += 4;
    }
    copyNumbers(y, x, <usize> NKV * size);
    if (pointer(r, 1) === 0) continue;
    for (let head = 0; head < NKV; head++, roots += 4) store<f32>(roots, 1);
  }
}

/** y = a · b, for `bytes` bytes. */
function multiply(y: usize, a: usize, b: usize, bytes: usize): void {
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    v128.store(y + i, f32x4.mul(v128.load(a + i), v128.load(b + i)));
  }
  for (; i < bytes; i += 4) {
    store<f32>(y + i, load<f32>(a + i) * load<f32>(b + i));
  }
}

/** dqkv, dy, qkv, gains of queries and of keys or 0, rows, NH, NKV, HS, rows of a unit, eps */
export function qkNormBackward(r: usize, from: i32, to: i32): void {
  const NH = int(r, 6);
  const NKV = int(r, 7);
  const HS = int(r, 8);
  const perUnit = int(r, 9);
  const eps = float(r, 10);
  const heads = NH + 2 * NKV;
  const end = min(to * perUnit, int(r, 5));
  const size = <usize> HS << 2;
  for (let row = from * perUnit; row < end; row++) {
    const at = <usize> row * <usize> heads * size;
    let dx = pointer(r, 0) + at;
    let dy = pointer(r, 1) + at;
    let x = pointer(r, 2) + at;
    for (let head = 0; head < NH + NKV; head++) {
      const gain = pointer(r, head < NH ? 3 : 4);
      // g = dy · gain, in the place of dx
      if (gain !== 0) multiply(dx, dy, gain, size);
      const g = gain !== 0 ? dx : dy;
      const root = reciprocalRoot(x, HS, eps);
      // dx = root · (g - x̂ · mean(g x̂)) = root · g - x · slope
      const mean = product(g, x, HS) / <f32> HS;
      const slope = mean * root * root * root;
      const scales = f32x4.splat(root);
      const slopes = f32x4.splat(-slope);
      let i: usize = 0;
      for (; i + 16 <= size; i += 16) {
        const line = f32x4.mul(v128.load(x + i), slopes);
        v128.store(dx + i, fma(v128.load(g + i), scales, line));
      }
      for (; i < size; i += 4) {
        const d = load<f32>(g + i) * root - load<f32>(x + i) * slope;
        store<f32>(dx + i, d);
      }
      dx += size;
      dy += size;
      x += size;
    }
    copyNumbers(dx, dy, <usize> NKV * size);
  }
}

/** Gradients of the gains of queries and of keys, dy, qkv, roots, rows, NH, NKV, HS. A unit is COLUMNS columns of one gain. */
export function qkNormBackwardGains(r: usize, from: i32, to: i32): void {
  const HS = int(r, 8);
  const blocks = (HS + COLUMNS - 1) / COLUMNS;
  for (let unit = from; unit < to; unit++) {
    const ofKeys = unit >= blocks;
    let column = (unit - (ofKeys ? blocks : 0)) * COLUMNS;
    const end = min(column + COLUMNS, HS);
    for (; column + 16 <= end; column += 16) sumHeads16(r, column, ofKeys);
    for (; column < end; column++) sumHeads(r, column, ofKeys);
  }
}

/** Adds to 16 columns of a gain's gradient the sums over rows and heads of dy · x · root. */
function sumHeads16(r: usize, column: i32, ofKeys: bool): void {
  const NH = int(r, 6);
  const NKV = int(r, 7);
  const size = <usize> int(r, 8) << 2;
  const begin = ofKeys ? NH : 0;
  const end = ofKeys ? NH + NKV : NH;
  let w0 = f32x4.splat(0);
  let w1 = f32x4.splat(0);
  let w2 = f32x4.splat(0);
  let w3 = f32x4.splat(0);
  for (let row = 0; row < int(r, 5); row++) {
    for (let head = begin; head < end; head++) {
      const number = <usize> (row * (NH + 2 * NKV) + head);
      const at = number * size + (<usize> column << 2);
      const dy = pointer(r, 2) + at;
      const x = pointer(r, 3) + at;
      const root = v128.load32_splat(pointer(r, 4) + (number << 2));
      w0 = fma(f32x4.mul(v128.load(dy), root), v128.load(x), w0);
      w1 = fma(f32x4.mul(v128.load(dy, 16), root), v128.load(x, 16), w1);
      w2 = fma(f32x4.mul(v128.load(dy, 32), root), v128.load(x, 32), w2);
      w3 = fma(f32x4.mul(v128.load(dy, 48), root), v128.load(x, 48), w3);
    }
  }
  const dgain = pointer(r, ofKeys ? 1 : 0) + (<usize> column << 2);
  v128.store(dgain, f32x4.add(v128.load(dgain), w0));
  v128.store(dgain, f32x4.add(v128.load(dgain, 16), w1), 16);
  v128.store(dgain, f32x4.add(v128.load(dgain, 32), w2), 32);
  v128.store(dgain, f32x4.add(v128.load(dgain, 48), w3), 48);
}

/** Computes the sum of {@link sumHeads16} for one column. */
function sumHeads(r: usize, column: i32, ofKeys: bool): void {
  const NH = int(r, 6);
  const NKV = int(r, 7);
  const size = <usize> int(r, 8) << 2;
  const begin = ofKeys ? NH : 0;
  const end = ofKeys ? NH + NKV : NH;
  let w: f32 = 0;
  for (let row = 0; row < int(r, 5); row++) {
    for (let head = begin; head < end; head++) {
      const number = <usize> (row * (NH + 2 * NKV) + head);
      const at = number * size + (<usize> column << 2);
      const root = load<f32>(pointer(r, 4) + (number << 2));
      w += load<f32>(pointer(r, 2) + at) * root *
        load<f32>(pointer(r, 3) + at);
    }
  }
  const dgain = pointer(r, ofKeys ? 1 : 0) + (<usize> column << 2);
  store<f32>(dgain, load<f32>(dgain) + w);
}

/** Returns 1 / √(mean(x²) + eps) of n numbers. */
function reciprocalRoot(x: usize, n: i32, eps: f32): f32 {
  return <f32> 1 / sqrt<f32>(squares(x, n, 0) / <f32> n + eps);
}
