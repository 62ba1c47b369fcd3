// Products of matrices in memory, made of tiles, and the packing of their operands.

import { PANEL, row32, tile1, tile2, tile4, tile6, TILE_ROWS, tilePacked } from "./tile";

/** Bytes that {@linkcode product} uses for tiles that stick out of the result. */
export const EDGE_BYTES: i32 = TILE_ROWS * PANEL * 4;

/**
 * c[M,N] = a[M,K] · b + bias[N] + addend[M,N].
 *
 * @param aRow bytes from a row of a to the next
 * @param b packed: panels of 8 columns, [k][8] each, the last one filled up
 * @param panel bytes from a panel to the next
 * @param cRow bytes from a row of c, and of the addend, to the next
 * @param bias 0: none
 * @param addend 0: none; it may be c itself
 * @param edge EDGE_BYTES of scratch memory
 */
export function product(
  a: usize,
  aRow: usize,
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
  let n = 0;
  if (M === 1) {
    for (; n + 32 <= N; n += 32) {
      const at = <usize> n << 2;
      row32(a, b + (n >> 3) * panel, panel, K, c + at, bias === 0 ? 0 : bias + at, addend === 0 ? 0 : addend + at);
    }
  }
  for (; n < N; n += PANEL) {
    const at = <usize> n << 2;
    const p = b + (n >> 3) * panel;
    const full = n + PANEL <= N;
    const to = full ? c + at : edge;
    const toRow = full ? cRow : PANEL << 2;
    const add = full && addend !== 0 ? addend + at : 0;
    const shift = full && bias !== 0 ? bias + at : 0;
    for (let m = 0; m < M;) {
      const left = M - m;
      const from = a + m * aRow;
      const row = full ? to + m * cRow : edge;
      const addRow = add === 0 ? 0 : add + m * cRow;
      let rows: i32;
      if (left >= 6) rows = 6, tile6(from, aRow, p, K, row, toRow, shift, addRow);
      else if (left >= 4) rows = 4, tile4(from, aRow, p, K, row, toRow, shift, addRow);
      else if (left >= 2) rows = 2, tile2(from, aRow, p, K, row, toRow, shift, addRow);
      else rows = 1, tile1(from, aRow, p, K, row, toRow, shift, addRow);
      if (!full) {
        copyEdge(edge, rows, N - n, c + m * cRow + at, cRow, bias === 0 ? 0 : bias + at, addend === 0 ? 0 : addend + m * cRow + at);
      }
      m += rows;
    }
  }
}

/**
 * c[M,N] = aᵀ · b + bias + addend as in {@linkcode product}, with a packed in tiles of 6 rows, [k][6].
 *
 * @param aTile bytes from a tile of a to the next
 */
export function productPacked(
  a: usize,
  aTile: usize,
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
  for (let n = 0; n < N; n += PANEL) {
    const at = <usize> n << 2;
    const p = b + (n >> 3) * panel;
    const shift = bias === 0 ? 0 : bias + at;
    for (let m = 0, t = a; m < M; m += TILE_ROWS, t += aTile) {
      const place = m * cRow + at;
      const add = addend === 0 ? 0 : addend + place;
      if (m + TILE_ROWS <= M && n + PANEL <= N) {
        tilePacked(t, p, K, c + place, cRow, shift, add);
      } else {
        tilePacked(t, p, K, edge, PANEL << 2, 0, 0);
        copyEdge(edge, min(TILE_ROWS, M - m), min(PANEL, N - n), c + place, cRow, shift, add);
      }
    }
  }
}

/** The part of a tile that is inside of the result. */
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
      if (bias !== 0) sum += load<f32>(bias + (n << 2));
      if (addend !== 0) sum += load<f32>(addend + at);
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
      transpose4(to, b, row);
      transpose4(to + 16, b + 4 * row, row);
    }
  }
  for (; k < K; k++, b += 4, to += 32) {
    for (let n = 0; n < PANEL; n++) {
      store<f32>(to + (n << 2), n < columns ? load<f32>(b + n * row) : 0);
    }
  }
}

/** to[k][8] for 4 k and 4 columns, from 4 rows of b. */
// @ts-ignore: decorator
@inline
function transpose4(to: usize, b: usize, row: usize): void {
  const r0 = v128.load(b), r1 = v128.load(b + row);
  const r2 = v128.load(b + 2 * row), r3 = v128.load(b + 3 * row);
  const low01 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
  const low23 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
  const high01 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
  const high23 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(low01, low23, 0, 2));
  v128.store(to, v128.shuffle<i64>(low01, low23, 1, 3), 32);
  v128.store(to, v128.shuffle<i64>(high01, high23, 0, 2), 64);
  v128.store(to, v128.shuffle<i64>(high01, high23, 1, 3), 96);
}

/** Packs a tile of aᵀ: to[k][6] = a[k, 0..6), rows of a being `row` bytes apart. Reads 6 numbers of each. */
export function packTile(to: usize, a: usize, row: usize, K: i32): void {
  for (let k = 0; k < K; k++, a += row, to += 24) {
    v128.store(to, v128.load(a));
    store<u64>(to, load<u64>(a, 16), 16);
  }
}
