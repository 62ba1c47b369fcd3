// Norms of rows (layernorm and rmsnorm), which may have any length. The formulas are
// explained in kernels/reference/norm.ts.

import { COLUMNS } from "../codes";
import { fma } from "./math";
import { float, int, pointer } from "./record";
import { squares, total } from "./sums";
import { sum } from "./vector";

/** y, stats, x, weight, bias or 0, rows, C, rows of a unit, eps, 1 for layernorm */
export function norm(r: usize, from: i32, to: i32): void {
  const stats = pointer(r, 1);
  const weight = pointer(r, 3);
  const bias = pointer(r, 4);
  const C = int(r, 6);
  const perUnit = int(r, 7);
  const eps = float(r, 8);
  const centred = int(r, 9) === 1;
  const end = min(to * perUnit, int(r, 5));
  const stride = <usize> C << 2;
  for (let row = from * perUnit; row < end; row++) {
    const x = pointer(r, 2) + <usize> row * stride;
    const y = pointer(r, 0) + <usize> row * stride;
    const mean: f32 = centred ? total(x, C) / <f32> C : 0;
    const variance = squares(x, C, mean) / <f32> C;
    const root = <f32> 1 / sqrt<f32>(variance + eps);
    normalise(y, x, mean, root, weight, bias, stride);
    store<f32>(stats + (<usize> row << 3), mean);
    store<f32>(stats + (<usize> row << 3), root, 4);
  }
}

/** y = (x - mean) · root · weight + bias, for one row of `bytes` bytes. */
function normalise(
  y: usize,
  x: usize,
  mean: f32,
  root: f32,
  weight: usize,
  bias: usize,
  bytes: usize,
): void {
  const middle = f32x4.splat(mean);
  const scale = f32x4.splat(root);
  const end = x + bytes;
  if (bias !== 0) {
    for (; x + 32 <= end; x += 32, y += 32, weight += 32, bias += 32) {
      const n0 = f32x4.mul(f32x4.sub(v128.load(x), middle), scale);
      const n1 = f32x4.mul(f32x4.sub(v128.load(x, 16), middle), scale);
      v128.store(y, fma(n0, v128.load(weight), v128.load(bias)));
      v128.store(y, fma(n1, v128.load(weight, 16), v128.load(bias, 16)), 16);
    }
    for (; x < end; x += 4, y += 4, weight += 4, bias += 4) {
      const n = (load<f32>(x) - mean) * root;
      store<f32>(y, n * load<f32>(weight) + load<f32>(bias));
    }
  } else {
    for (; x + 32 <= end; x += 32, y += 32, weight += 32) {
      const n0 = f32x4.mul(f32x4.sub(v128.load(x), middle), scale);
      const n1 = f32x4.mul(f32x4.sub(v128.load(x, 16), middle), scale);
      v128.store(y, f32x4.mul(n0, v128.load(weight)));
      v128.store(y, f32x4.mul(n1, v128.load(weight, 16)), 16);
    }
    for (; x < end; x += 4, y += 4, weight += 4) {
      const n = (load<f32>(x) - mean) * root;
      store<f32>(y, n * load<f32>(weight));
    }
  }
}

/** dx, dy, x, weight, stats, rows, C, rows of a unit, 1 for layernorm, accumulate */
export function normBackward(r: usize, from: i32, to: i32): void {
  const weight = pointer(r, 3);
  const stats = pointer(r, 4);
  const C = int(r, 6);
  const perUnit = int(r, 7);
  const centred = int(r, 8) === 1;
  const accumulate = int(r, 9) === 1;
  const end = min(to * perUnit, int(r, 5));
  const bytes = <usize> C << 2;
  for (let row = from * perUnit; row < end; row++) {
    const dx = pointer(r, 0) + <usize> row * bytes;
    const dy = pointer(r, 1) + <usize> row * bytes;
    const x = pointer(r, 2) + <usize> row * bytes;
    const mean = load<f32>(stats + (<usize> row << 3));
    const root = load<f32>(stats + (<usize> row << 3), 4);
    const middle = f32x4.splat(mean);
    // The sums of g = dy · weight and of g · (x - mean).
    let g0 = f32x4.splat(0);
    let g1 = f32x4.splat(0);
    let gx0 = f32x4.splat(0);
    let gx1 = f32x4.splat(0);
    let i: usize = 0;
    for (; i + 32 <= bytes; i += 32) {
      const a = f32x4.mul(v128.load(dy + i), v128.load(weight + i));
      const b = f32x4.mul(v128.load(dy + i, 16), v128.load(weight + i, 16));
      g0 = f32x4.add(g0, a);
      g1 = f32x4.add(g1, b);
      gx0 = fma(a, f32x4.sub(v128.load(x + i), middle), gx0);
      gx1 = fma(b, f32x4.sub(v128.load(x + i, 16), middle), gx1);
    }
    let totalG = sum(f32x4.add(g0, g1));
    let totalGX = sum(f32x4.add(gx0, gx1));
    for (; i < bytes; i += 4) {
      const g = load<f32>(dy + i) * load<f32>(weight + i);
      totalG += g;
      totalGX += g * (load<f32>(x + i) - mean);
    }
    // dx = root · (g - mean(g) - x̂ · mean(g x̂)) = root · g - (x - mean) · slope - shift
    const slope = totalGX / <f32> C * root * root * root;
    const shift: f32 = centred ? totalG / <f32> C * root : 0;
    const scales = f32x4.splat(root);
    const slopes = f32x4.splat(-slope);
    const shifts = f32x4.splat(-shift);
    i = 0;
    for (; i + 32 <= bytes; i += 32) {
      const x0 = f32x4.sub(v128.load(x + i), middle);
      const x1 = f32x4.sub(v128.load(x + i, 16), middle);
      const a = f32x4.mul(v128.load(dy + i), v128.load(weight + i));
      const b = f32x4.mul(v128.load(dy + i, 16), v128.load(weight + i, 16));
      let d0 = fma(a, scales, fma(x0, slopes, shifts));
      let d1 = fma(b, scales, fma(x1, slopes, shifts));
      if (accumulate) {
        d0 = f32x4.add(v128.load(dx + i), d0);
        d1 = f32x4.add(v128.load(dx + i, 16), d1);
      }
      v128.store(dx + i, d0);
      v128.store(dx + i, d1, 16);
    }
    for (; i < bytes; i += 4) {
      const g = load<f32>(dy + i) * load<f32>(weight + i);
      const d = g * root - (load<f32>(x + i) - mean) * slope - shift;
      const old: f32 = accumulate ? load<f32>(dx + i) : 0;
      store<f32>(dx + i, old + d);
    }
  }
}

/** dweight, dbias or 0, dy, x, stats, rows, C. A unit is COLUMNS columns. */
export function normBackwardWeights(r: usize, from: i32, to: i32): void {
  const C = int(r, 6);
  const end = min(to * COLUMNS, C);
  let column = from * COLUMNS;
  for (; column + 16 <= end; column += 16) sumColumns16(r, <usize> column << 2);
  for (; column + 4 <= end; column += 4) sumColumns4(r, <usize> column << 2);
  for (; column < end; column++) sumColumn(r, <usize> column << 2);
}

/** dweight += sum over rows of dy · x̂ and dbias += sum of dy, for 16 columns. */
function sumColumns16(r: usize, at: usize): void {
  const stride = <usize> int(r, 6) << 2;
  let dy = pointer(r, 2) + at;
  let x = pointer(r, 3) + at;
  let stats = pointer(r, 4);
  const end = stats + (<usize> int(r, 5) << 3);
  let w0 = f32x4.splat(0);
  let w1 = f32x4.splat(0);
  let w2 = f32x4.splat(0);
  let w3 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let b2 = f32x4.splat(0);
  let b3 = f32x4.splat(0);
  for (; stats < end; stats += 8, dy += stride, x += stride) {
    const mean = v128.load32_splat(stats);
    const root = v128.load32_splat(stats, 4);
    const d0 = v128.load(dy);
    const d1 = v128.load(dy, 16);
    const d2 = v128.load(dy, 32);
    const d3 = v128.load(dy, 48);
    b0 = f32x4.add(b0, d0);
    b1 = f32x4.add(b1, d1);
    b2 = f32x4.add(b2, d2);
    b3 = f32x4.add(b3, d3);
    const x0 = f32x4.sub(v128.load(x), mean);
    const x1 = f32x4.sub(v128.load(x, 16), mean);
    const x2 = f32x4.sub(v128.load(x, 32), mean);
    const x3 = f32x4.sub(v128.load(x, 48), mean);
    w0 = fma(f32x4.mul(d0, root), x0, w0);
    w1 = fma(f32x4.mul(d1, root), x1, w1);
    w2 = fma(f32x4.mul(d2, root), x2, w2);
    w3 = fma(f32x4.mul(d3, root), x3, w3);
  }
  const dweight = pointer(r, 0) + at;
  v128.store(dweight, f32x4.add(v128.load(dweight), w0));
  v128.store(dweight, f32x4.add(v128.load(dweight, 16), w1), 16);
  v128.store(dweight, f32x4.add(v128.load(dweight, 32), w2), 32);
  v128.store(dweight, f32x4.add(v128.load(dweight, 48), w3), 48);
  if (pointer(r, 1) === 0) return;
  const dbias = pointer(r, 1) + at;
  v128.store(dbias, f32x4.add(v128.load(dbias), b0));
  v128.store(dbias, f32x4.add(v128.load(dbias, 16), b1), 16);
  v128.store(dbias, f32x4.add(v128.load(dbias, 32), b2), 32);
  v128.store(dbias, f32x4.add(v128.load(dbias, 48), b3), 48);
}

/** Computes the sums of {@link sumColumns16} for 4 columns. */
function sumColumns4(r: usize, at: usize): void {
  const stride = <usize> int(r, 6) << 2;
  let dy = pointer(r, 2) + at;
  let x = pointer(r, 3) + at;
  let stats = pointer(r, 4);
  const end = stats + (<usize> int(r, 5) << 3);
  let w = f32x4.splat(0);
  let b = f32x4.splat(0);
  for (; stats < end; stats += 8, dy += stride, x += stride) {
    const d = v128.load(dy);
    const centred = f32x4.sub(v128.load(x), v128.load32_splat(stats));
    b = f32x4.add(b, d);
    w = fma(f32x4.mul(d, v128.load32_splat(stats, 4)), centred, w);
  }
  const dweight = pointer(r, 0) + at;
  v128.store(dweight, f32x4.add(v128.load(dweight), w));
  if (pointer(r, 1) === 0) return;
  const dbias = pointer(r, 1) + at;
  v128.store(dbias, f32x4.add(v128.load(dbias), b));
}

/** Computes the sums of {@link sumColumns16} for one column. */
function sumColumn(r: usize, at: usize): void {
  const stride = <usize> int(r, 6) << 2;
  let dy = pointer(r, 2) + at;
  let x = pointer(r, 3) + at;
  let stats = pointer(r, 4);
  const end = stats + (<usize> int(r, 5) << 3);
  let w: f32 = 0;
  let b: f32 = 0;
  for (; stats < end; stats += 8, dy += stride, x += stride) {
    const d = load<f32>(dy);
    b += d;
    w += d * load<f32>(stats, 4) * (load<f32>(x) - load<f32>(stats));
  }
  const dweight = pointer(r, 0) + at;
  store<f32>(dweight, load<f32>(dweight) + w);
  if (pointer(r, 1) === 0) return;
  const dbias = pointer(r, 1) + at;
  store<f32>(dbias, load<f32>(dbias) + b);
}
