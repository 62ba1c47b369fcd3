// The innermost loop of every product: a tile of 5 rows and 8 columns, whose sums stay
// in registers. Both operands are packed: a in tiles of 5 rows, [k][5]; b in panels of 8
// columns, [k][8].
//
// The shape is the one that V8 compiles best. V8 has 15 vector registers (here 10 for sums, 2
// for b, 2 for a), and checks the bounds of every load, so that taking four numbers of a
// with one load and spreading them in registers beats four loads: 42 GFLOP/s of the 47 that
// the core can do, against 36 for 6x8 with loads alone. Unrolling made it spill, at 23.
//
// Each element's sum runs over k in order, independently of the others and of the position of
// the tile: no bit depends on how rows and columns are cut into tiles.

import { NOTHING } from "../codes";
import { fma } from "./math";

/** Rows of a tile. */
export const TILE_ROWS: i32 = 5;
/** Columns of a panel. */
export const PANEL: i32 = 8;
/** Bytes of a tile of a at one k, and of a panel of b. */
export const TILE_STEP: usize = 20;
export const PANEL_STEP: usize = 32;

/**
 * c[5,8] = aᵀ · panel + bias[8] + addend[5,8].
 *
 * @param cRow bytes from a row of c to the next
 * @param bias NOTHING for no bias
 * @param addend NOTHING, with an addRow of 0, for no addend
 */
export function tile(
  a: usize,
  panel: usize,
  K: i32,
  c: usize,
  cRow: usize,
  bias: usize,
  addend: usize,
  addRow: usize,
): void {
  let s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00, s20 = s00;
  let s21 = s00, s30 = s00, s31 = s00, s40 = s00, s41 = s00;
  const end = panel + <usize> K * PANEL_STEP;
  while (panel < end) {
    const b0 = v128.load(panel), b1 = v128.load(panel, 16);
    const a0 = v128.load(a);
    let x = v128.shuffle<i32>(a0, a0, 0, 0, 0, 0);
    s00 = fma(x, b0, s00), s01 = fma(x, b1, s01);
    x = v128.shuffle<i32>(a0, a0, 1, 1, 1, 1);
    s10 = fma(x, b0, s10), s11 = fma(x, b1, s11);
    x = v128.shuffle<i32>(a0, a0, 2, 2, 2, 2);
    s20 = fma(x, b0, s20), s21 = fma(x, b1, s21);
    x = v128.shuffle<i32>(a0, a0, 3, 3, 3, 3);
    s30 = fma(x, b0, s30), s31 = fma(x, b1, s31);
    x = v128.load32_splat(a, 16);
    s40 = fma(x, b0, s40), s41 = fma(x, b1, s41);
    a += TILE_STEP, panel += PANEL_STEP;
  }
  const bias0 = v128.load(bias), bias1 = v128.load(bias, 16);
  finish(c, s00, s01, bias0, bias1, addend);
  c += cRow, addend += addRow, finish(c, s10, s11, bias0, bias1, addend);
  c += cRow, addend += addRow, finish(c, s20, s21, bias0, bias1, addend);
  c += cRow, addend += addRow, finish(c, s30, s31, bias0, bias1, addend);
  c += cRow, addend += addRow, finish(c, s40, s41, bias0, bias1, addend);
}

/** Stores 8 sums of a row, with the bias and the addend added. */
// @ts-ignore: decorator
@inline
function finish(
  c: usize,
  s0: v128,
  s1: v128,
  bias0: v128,
  bias1: v128,
  addend: usize,
): void {
  v128.store(c, f32x4.add(f32x4.add(s0, bias0), v128.load(addend)));
  v128.store(c, f32x4.add(f32x4.add(s1, bias1), v128.load(addend, 16)), 16);
}

/**
 * c[32] = a[K] · four panels + bias[32] + addend[32]. Four panels, because the additions of one row
 * and one panel would wait for one another.
 *
 * @param a not packed
 * @param panel bytes from a panel to the next
 */
export function row(
  a: usize,
  b: usize,
  panel: usize,
  K: i32,
  c: usize,
  bias: usize,
  addend: usize,
): void {
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  let s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  let b1 = b + panel, b2 = b1 + panel, b3 = b2 + panel;
  const end = b + <usize> K * PANEL_STEP;
  while (b < end) {
    const x = v128.load32_splat(a);
    s0 = fma(x, v128.load(b), s0), s1 = fma(x, v128.load(b, 16), s1);
    s2 = fma(x, v128.load(b1), s2), s3 = fma(x, v128.load(b1, 16), s3);
    s4 = fma(x, v128.load(b2), s4), s5 = fma(x, v128.load(b2, 16), s5);
    s6 = fma(x, v128.load(b3), s6), s7 = fma(x, v128.load(b3, 16), s7);
    a += 4, b += PANEL_STEP, b1 += PANEL_STEP, b2 += PANEL_STEP, b3 += PANEL_STEP;
  }
  finish(c, s0, s1, v128.load(bias), v128.load(bias, 16), addend);
  bias = advance(bias, 32), addend = advance(addend, 32);
  finish(c + 32, s2, s3, v128.load(bias), v128.load(bias, 16), addend);
  bias = advance(bias, 32), addend = advance(addend, 32);
  finish(c + 64, s4, s5, v128.load(bias), v128.load(bias, 16), addend);
  bias = advance(bias, 32), addend = advance(addend, 32);
  finish(c + 96, s6, s7, v128.load(bias), v128.load(bias, 16), addend);
}

/** Returns an address moved forward; NOTHING stays NOTHING. */
// @ts-ignore: decorator
@inline
export function advance(address: usize, bytes: usize): usize {
  return address === NOTHING ? NOTHING : address + bytes;
}
