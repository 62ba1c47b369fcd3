// The innermost loops of every product: a tile of up to 6 rows and 8 columns, whose
// sums stay in registers (12 for sums, 2 for b, 1 for a: all that V8 hands out).
//
// b is packed in panels of 8 columns, [k][8]. An element's sum runs over k in order,
// by itself, whatever the tile: no bit depends on how rows and columns were cut.

import { fma } from "./math";

/** Rows of a full tile. */
export const TILE_ROWS: i32 = 6;
/** Columns of a panel. */
export const PANEL: i32 = 8;

/**
 * c[rows,8] = a[rows,K] · panel + bias[8] + addend[rows,8], `rows` being 1, 2, 4 or 6.
 *
 * @param aRow bytes from a row of a to the next; along a row, numbers are dense
 * @param bias 0: none
 * @param addend 0: none; its rows are cRow apart, as those of c
 */
// @ts-ignore: decorator
@inline
function tile(
  rows: i32,
  a: usize,
  aRow: usize,
  panel: usize,
  K: i32,
  c: usize,
  cRow: usize,
  bias: usize,
  addend: usize,
): void {
  let s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00;
  let s20 = s00, s21 = s00, s30 = s00, s31 = s00;
  let s40 = s00, s41 = s00, s50 = s00, s51 = s00;
  let a1 = a + aRow, a2 = a1 + aRow, a3 = a2 + aRow, a4 = a3 + aRow, a5 = a4 + aRow;
  let b = panel;
  const even = panel + (<usize> (K & ~1) << 5);
  let b0: v128, b1: v128, x: v128;
  while (b < even) {
    b0 = v128.load(b), b1 = v128.load(b, 16);
    x = v128.load32_splat(a), s00 = fma(x, b0, s00), s01 = fma(x, b1, s01);
    if (rows > 1) x = v128.load32_splat(a1), s10 = fma(x, b0, s10), s11 = fma(x, b1, s11);
    if (rows > 2) x = v128.load32_splat(a2), s20 = fma(x, b0, s20), s21 = fma(x, b1, s21);
    if (rows > 3) x = v128.load32_splat(a3), s30 = fma(x, b0, s30), s31 = fma(x, b1, s31);
    if (rows > 4) x = v128.load32_splat(a4), s40 = fma(x, b0, s40), s41 = fma(x, b1, s41);
    if (rows > 5) x = v128.load32_splat(a5), s50 = fma(x, b0, s50), s51 = fma(x, b1, s51);
    b0 = v128.load(b, 32), b1 = v128.load(b, 48);
    x = v128.load32_splat(a, 4), s00 = fma(x, b0, s00), s01 = fma(x, b1, s01);
    if (rows > 1) x = v128.load32_splat(a1, 4), s10 = fma(x, b0, s10), s11 = fma(x, b1, s11);
    if (rows > 2) x = v128.load32_splat(a2, 4), s20 = fma(x, b0, s20), s21 = fma(x, b1, s21);
    if (rows > 3) x = v128.load32_splat(a3, 4), s30 = fma(x, b0, s30), s31 = fma(x, b1, s31);
    if (rows > 4) x = v128.load32_splat(a4, 4), s40 = fma(x, b0, s40), s41 = fma(x, b1, s41);
    if (rows > 5) x = v128.load32_splat(a5, 4), s50 = fma(x, b0, s50), s51 = fma(x, b1, s51);
    a += 8, b += 64;
    if (rows > 1) a1 += 8;
    if (rows > 2) a2 += 8;
    if (rows > 3) a3 += 8;
    if (rows > 4) a4 += 8;
    if (rows > 5) a5 += 8;
  }
  if (K & 1) {
    b0 = v128.load(b), b1 = v128.load(b, 16);
    x = v128.load32_splat(a), s00 = fma(x, b0, s00), s01 = fma(x, b1, s01);
    if (rows > 1) x = v128.load32_splat(a1), s10 = fma(x, b0, s10), s11 = fma(x, b1, s11);
    if (rows > 2) x = v128.load32_splat(a2), s20 = fma(x, b0, s20), s21 = fma(x, b1, s21);
    if (rows > 3) x = v128.load32_splat(a3), s30 = fma(x, b0, s30), s31 = fma(x, b1, s31);
    if (rows > 4) x = v128.load32_splat(a4), s40 = fma(x, b0, s40), s41 = fma(x, b1, s41);
    if (rows > 5) x = v128.load32_splat(a5), s50 = fma(x, b0, s50), s51 = fma(x, b1, s51);
  }
  finish(c, s00, s01, bias, addend);
  if (rows > 1) c += cRow, addend = below(addend, cRow), finish(c, s10, s11, bias, addend);
  if (rows > 2) c += cRow, addend = below(addend, cRow), finish(c, s20, s21, bias, addend);
  if (rows > 3) c += cRow, addend = below(addend, cRow), finish(c, s30, s31, bias, addend);
  if (rows > 4) c += cRow, addend = below(addend, cRow), finish(c, s40, s41, bias, addend);
  if (rows > 5) c += cRow, addend = below(addend, cRow), finish(c, s50, s51, bias, addend);
}

// @ts-ignore: decorator
@inline
function below(addend: usize, row: usize): usize {
  return addend === 0 ? 0 : addend + row;
}

/** Stores half a row's sums, with what is added to them. */
// @ts-ignore: decorator
@inline
function finish(c: usize, s0: v128, s1: v128, bias: usize, addend: usize): void {
  if (bias !== 0) {
    s0 = f32x4.add(s0, v128.load(bias));
    s1 = f32x4.add(s1, v128.load(bias, 16));
  }
  if (addend !== 0) {
    s0 = f32x4.add(s0, v128.load(addend));
    s1 = f32x4.add(s1, v128.load(addend, 16));
  }
  v128.store(c, s0);
  v128.store(c, s1, 16);
}

export function tile6(a: usize, aRow: usize, panel: usize, K: i32, c: usize, cRow: usize, bias: usize, addend: usize): void {
  tile(6, a, aRow, panel, K, c, cRow, bias, addend);
}

export function tile4(a: usize, aRow: usize, panel: usize, K: i32, c: usize, cRow: usize, bias: usize, addend: usize): void {
  tile(4, a, aRow, panel, K, c, cRow, bias, addend);
}

export function tile2(a: usize, aRow: usize, panel: usize, K: i32, c: usize, cRow: usize, bias: usize, addend: usize): void {
  tile(2, a, aRow, panel, K, c, cRow, bias, addend);
}

export function tile1(a: usize, aRow: usize, panel: usize, K: i32, c: usize, cRow: usize, bias: usize, addend: usize): void {
  tile(1, a, aRow, panel, K, c, cRow, bias, addend);
}

/** c[6,8] = aᵀ · panel + bias + addend, where a is packed too, [k][6]. */
export function tilePacked(a: usize, panel: usize, K: i32, c: usize, cRow: usize, bias: usize, addend: usize): void {
  let s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00;
  let s20 = s00, s21 = s00, s30 = s00, s31 = s00;
  let s40 = s00, s41 = s00, s50 = s00, s51 = s00;
  const end = panel + (<usize> K << 5);
  while (panel < end) {
    const b0 = v128.load(panel), b1 = v128.load(panel, 16);
    let x = v128.load32_splat(a);
    s00 = fma(x, b0, s00), s01 = fma(x, b1, s01);
    x = v128.load32_splat(a, 4), s10 = fma(x, b0, s10), s11 = fma(x, b1, s11);
    x = v128.load32_splat(a, 8), s20 = fma(x, b0, s20), s21 = fma(x, b1, s21);
    x = v128.load32_splat(a, 12), s30 = fma(x, b0, s30), s31 = fma(x, b1, s31);
    x = v128.load32_splat(a, 16), s40 = fma(x, b0, s40), s41 = fma(x, b1, s41);
    x = v128.load32_splat(a, 20), s50 = fma(x, b0, s50), s51 = fma(x, b1, s51);
    a += 24, panel += 32;
  }
  finish(c, s00, s01, bias, addend);
  c += cRow, addend = below(addend, cRow), finish(c, s10, s11, bias, addend);
  c += cRow, addend = below(addend, cRow), finish(c, s20, s21, bias, addend);
  c += cRow, addend = below(addend, cRow), finish(c, s30, s31, bias, addend);
  c += cRow, addend = below(addend, cRow), finish(c, s40, s41, bias, addend);
  c += cRow, addend = below(addend, cRow), finish(c, s50, s51, bias, addend);
}

/** c[32] = a[K] · four panels + bias + addend: one row alone would wait for its own sums. */
export function row32(a: usize, b: usize, panel: usize, K: i32, c: usize, bias: usize, addend: usize): void {
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  let p1 = b + panel, p2 = p1 + panel, p3 = p2 + panel;
  const end = b + (<usize> K << 5);
  while (b < end) {
    const x = v128.load32_splat(a);
    s0 = fma(x, v128.load(b), s0), s1 = fma(x, v128.load(b, 16), s1);
    s2 = fma(x, v128.load(p1), s2), s3 = fma(x, v128.load(p1, 16), s3);
    s4 = fma(x, v128.load(p2), s4), s5 = fma(x, v128.load(p2, 16), s5);
    s6 = fma(x, v128.load(p3), s6), s7 = fma(x, v128.load(p3, 16), s7);
    a += 4, b += 32, p1 += 32, p2 += 32, p3 += 32;
  }
  finish(c, s0, s1, bias, addend);
  bias = below(bias, 32), addend = below(addend, 32), finish(c + 32, s2, s3, bias, addend);
  bias = below(bias, 32), addend = below(addend, 32), finish(c + 64, s4, s5, bias, addend);
  bias = below(bias, 32), addend = below(addend, 32), finish(c + 96, s6, s7, bias, addend);
}
