// Products of matrices in memory, made of tiles, and the packing of their operands.

import { NOTHING } from "../codes";
import {
  advance,
  PANEL,
  PANEL_STEP,
  row,
  tile,
  TILE_ROWS,
  TILE_STEP,
} from "./tile";

/** Bytes that {@linkcode product} uses for tiles that reach past the edge of the result. */
export const EDGE_BYTES: usize = TILE_STEP * PANEL;

/**
 * c[M,N] = a · b + bias[N] + addend[M,N], over K numbers each.
 *
 * @param a packed: consecutive tiles of 5 rows, [k][5] each
 * @param b packed: panels of 8 columns, [k][8] each
 * @param panel bytes from a panel to the next
 * @param cRow bytes from a row of c, and of the addend, to the next
 * @param bias NOTHING for no bias
 * @param addend NOTHING for no addend; may be c itself
 * @param edge EDGE_BYTES of scratch memory
 */
export function product(
  a: usize,
  b: usize,
  panel: usize,
  c: usize,
  cRow: usize,
  M: i32,
  N: i32,
  K: i32,
  bias: usize,
  addend: usize,
  edge: usize,
): void {
  const aTile = <usize> K * TILE_STEP;
  const addRow = addend === NOTHING ? 0 : cRow;
  for (let n = 0; n < N; n += PANEL) {
    let from = a;
    let at: usize = 0; // of row m in c
    for (let m = 0; m < M; m += TILE_ROWS) {
      const add = advance(addend, at);
      if (m + TILE_ROWS <= M && n + PANEL <= N) {
        tile(from, b, K, c + at, cRow, bias, add, addRow);
      } else {
        tile(from, b, K, edge, PANEL_STEP, NOTHING, NOTHING, 0);
        const rows = min(TILE_ROWS, M - m);
        copyEdge(edge, rows, min(PANEL, N - n), c + at, cRow, bias, add);
      }
      from += aTile;
      at += TILE_ROWS * cRow;
    }
    b += panel;
    c += PANEL_STEP;
    bias = advance(bias, PANEL_STEP);
    addend = advance(addend, PANEL_STEP);
  }
}

/** c[N] = a[K] · b + bias[N] + addend[N], as in {@linkcode product}, but a is not packed. `tileOf` is K · TILE_STEP bytes of scratch memory. */
export function rowProduct(
  a: usize,
  b: usize,
  panel: usize,
  c: usize,
  N: i32,
  K: i32,
  bias: usize,
  addend: usize,
  edge: usize,
  tileOf: usize,
): void {
  let n = 0;
  for (; n + 4 * PANEL <= N; n += 4 * PANEL) {
    row(a, b, panel, K, c, bias, addend);
    b += 4 * panel;
    c += 4 * PANEL_STEP;
    bias = advance(bias, 4 * PANEL_STEP);
    addend = advance(addend, 4 * PANEL_STEP);
  }
  if (n === N) return;
  packTileOfRows(tileOf, a, 0, K, 1);
  product(tileOf, b, panel, c, 0, 1, N - n, K, bias, addend, edge);
}

/** Copies the part of a tile that is inside the result, with the bias and the addend added. */
function copyEdge(
  edge: usize,
  rows: i32,
  columns: i32,
  c: usize,
  cRow: usize,
  bias: usize,
  addend: usize,
): void {
  for (let m = 0; m < rows; m++) {
    for (let n = 0; n < columns; n++) {
      const at = m * cRow + (n << 2);
      let sum = load<f32>(edge + (<usize> (m * PANEL + n) << 2));
      if (bias !== NOTHING) sum += load<f32>(bias + (n << 2));
      if (addend !== NOTHING) sum += load<f32>(addend + at);
      store<f32>(c + at, sum);
    }
  }
}

/** Packs a panel: to[k][8] = b[k, 0..columns), rows of b being `row` bytes apart; missing columns are 0. */
export function packColumns(
  to: usize,
  b: usize,
  row: usize,
  K: i32,
  columns: i32,
): void {
  if (columns >= PANEL) {
    for (let k = 0; k < K; k++, b += row, to += 32) {
      v128.store(to, v128.load(b));
      v128.store(to, v128.load(b, 16), 16);
    }
    return;
  }
  const zero = i32x4.splat(0);
  for (let k = 0; k < K; k++, b += row, to += 32) {
    v128.store(to, zero);
    v128.store(to, zero, 16);
    for (let n: usize = 0; n < <usize> columns << 2; n += 4) {
      store<f32>(to + n, load<f32>(b + n));
    }
  }
}

/** Packs panels, `panel` bytes apart: those of b[K,N]. */
export function packPanels(
  to: usize,
  panel: usize,
  b: usize,
  row: usize,
  K: i32,
  N: i32,
): void {
  for (let n = 0; n < N; n += PANEL) {
    packColumns(to, b, row, K, N - n);
    to += panel, b += PANEL_STEP;
  }
}

/** Packs a panel from the transpose: to[k][8] = b[0..columns), k], rows of b being `row` bytes apart; missing columns are 0. */
export function packRows(
  to: usize,
  b: usize,
  row: usize,
  K: i32,
  columns: i32,
): void {
  let k = 0;
  if (columns >= PANEL) {
    for (; k + 4 <= K; k += 4, b += 16, to += 128) {
      transpose4(to, PANEL_STEP, b, row);
      transpose4(to + 16, PANEL_STEP, b + 4 * row, row);
    }
  }
  for (; k < K; k++, b += 4, to += 32) {
    for (let n = 0; n < PANEL; n++) {
      store<f32>(to + (n << 2), n < columns ? load<f32>(b + n * row) : 0);
    }
  }
}

/** to[4,4] = b[4,4]ᵀ, their rows being `toRow` and `row` bytes apart. */
// @ts-ignore: decorator
@inline
export function transpose4(to: usize, toRow: usize, b: usize, row: usize): void {
  const r0 = v128.load(b), r1 = v128.load(b + row);
  const r2 = v128.load(b + 2 * row), r3 = v128.load(b + 3 * row);
  const low01 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
  const low23 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
  const high01 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
  const high23 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(low01, low23, 0, 2));
  v128.store(to + toRow, v128.shuffle<i64>(low01, low23, 1, 3));
  v128.store(to + 2 * toRow, v128.shuffle<i64>(high01, high23, 0, 2));
  v128.store(to + 3 * toRow, v128.shuffle<i64>(high01, high23, 1, 3));
}

/** to[K,N] = b[N,K]ᵀ, their rows being `toRow` and `row` bytes apart. */
export function turnMatrix(to: usize, toRow: usize, b: usize, row: usize, N: i32, K: i32): void {
  let n = 0;
  for (; n + 4 <= N; n += 4, b += 4 * row, to += 16) {
    let from = b, target = to;
    let k = 0;
    for (; k + 4 <= K; k += 4, from += 16, target += 4 * toRow) {
      transpose4(target, toRow, from, row);
    }
    for (; k < K; k++, from += 4, target += toRow) turnColumn(target, from, row, 4);
  }
  for (let k = 0; n < N && k < K; k++, b += 4, to += toRow) turnColumn(to, b, row, N - n);
}

/** to[n] = b[n,0], rows of b being `row` bytes apart. */
// @ts-ignore: decorator
@inline
function turnColumn(to: usize, b: usize, row: usize, n: i32): void {
  for (let i = 0; i < n; i++, b += row, to += 4) store<f32>(to, load<f32>(b));
}

/** Packs a tile: to[k][5] = a[0..rows), k], rows of a being `row` bytes apart. Missing rows repeat the last one. */
export function packTileOfRows(
  to: usize,
  a: usize,
  row: usize,
  K: i32,
  rows: i32,
): void {
  const a1 = rows > 1 ? a + row : a;
  const a2 = rows > 2 ? a1 + row : a1;
  const a3 = rows > 3 ? a2 + row : a2;
  const a4 = rows > 4 ? a3 + row : a3;
  let k: usize = 0;
  const whole = <usize> (K & ~3) << 2;
  for (; k < whole; k += 16, to += 4 * TILE_STEP) {
    const r0 = v128.load(a + k), r1 = v128.load(a1 + k);
    const r2 = v128.load(a2 + k), r3 = v128.load(a3 + k);
    const r4 = v128.load(a4 + k);
    const low01 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
    const low23 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
    const high01 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
    const high23 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(low01, low23, 0, 2));
    v128.store(to, v128.shuffle<i64>(low01, low23, 1, 3), 20);
    v128.store(to, v128.shuffle<i64>(high01, high23, 0, 2), 40);
    v128.store(to, v128.shuffle<i64>(high01, high23, 1, 3), 60);
    v128.store_lane<f32>(to, r4, 0, 16);
    v128.store_lane<f32>(to, r4, 1, 36);
    v128.store_lane<f32>(to, r4, 2, 56);
    v128.store_lane<f32>(to, r4, 3, 76);
  }
  const end = <usize> K << 2;
  for (; k < end; k += 4, to += TILE_STEP) {
    store<f32>(to, load<f32>(a + k));
    store<f32>(to, load<f32>(a1 + k), 4);
    store<f32>(to, load<f32>(a2 + k), 8);
    store<f32>(to, load<f32>(a3 + k), 12);
    store<f32>(to, load<f32>(a4 + k), 16);
  }
}

/** Packs tiles from the transpose, `tileBytes` apart: tile t's to[k][5] = a[k, 5t..5t+5). Reads whole tiles, even past the last column. */
export function packTilesOfColumns(
  to: usize,
  tileBytes: usize,
  a: usize,
  row: usize,
  K: i32,
  tiles: i32,
): void {
  for (let t = 0; t < tiles; t++, a += TILE_STEP, to += tileBytes) {
    let from = a, target = to;
    for (let k = 0; k < K; k++, from += row, target += TILE_STEP) {
      v128.store(target, v128.load(from));
      store<f32>(target, load<f32>(from, 16), 16);
    }
  }
}

/** Packs x[M,K] as the left operand of a product: tiles [K][5]. */
export function packTiles(
  to: usize,
  x: usize,
  row: usize,
  K: i32,
  M: i32,
): void {
  for (let m = 0; m < M; m += TILE_ROWS) {
    packTileOfRows(to, x, row, K, M - m);
    to += K * TILE_STEP;
    x += TILE_ROWS * row;
  }
}
