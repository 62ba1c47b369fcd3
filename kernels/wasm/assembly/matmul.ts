// Matrix products. b is packed in stretches of DEPTH along k, each in panels of 8
// columns, so that a panel and the rows it meets stay in the first-level cache.
// A unit of packing is a panel or PACK_DEPTH rows, a unit of the product a block of y.

import { weigh } from "./elementwise";
import { float, int, pointer } from "./record";
import { DOTS, dots } from "./dots";
import {
  packPanels,
  packRows,
  packTiles,
  packTilesOfColumns,
  product,
  rowProduct,
} from "./product";
import { advance, PANEL, PANEL_STEP, TILE_ROWS, TILE_STEP } from "./tile";
import { DEPTH, FORM_NT, FORM_TN, NOTHING, PACK_DEPTH } from "../codes";

/** packed, b, N, K: panels of b[N,K]ᵀ. A unit is a panel. */
export function packPanelsOfRows(r: usize, from: i32, to: i32): void {
  const packed = pointer(r, 0);
  const b = pointer(r, 1);
  const N = int(r, 2);
  const K = int(r, 3);
  const width = panels(N) * PANEL_STEP; // bytes of all panels at one k
  const row = <usize> K << 2;
  for (let k = 0; k < K; k += DEPTH) {
    const depth = min(DEPTH, K - k);
    for (let p = from; p < to; p++) {
      const target = packed + k * width + <usize> p * depth * PANEL_STEP;
      const n = p * PANEL;
      packRows(target, b + n * row + (<usize> k << 2), row, depth, N - n);
    }
  }
}

/** packed, b, N, K: panels of b[K,N]. A unit is PACK_DEPTH rows of b, read as they lie in memory. */
export function packPanelsOfColumns(r: usize, from: i32, to: i32): void {
  const packed = pointer(r, 0);
  const b = pointer(r, 1);
  const N = int(r, 2);
  const K = int(r, 3);
  const width = panels(N) * PANEL_STEP;
  const row = <usize> N << 2;
  for (let k = from * PACK_DEPTH; k < min(to * PACK_DEPTH, K); k += PACK_DEPTH) {
    const start = k / DEPTH * DEPTH;
    const panel = min(DEPTH, K - start) * PANEL_STEP;
    const count = min(PACK_DEPTH, K - k);
    const target = packed + start * width + (k - start) * PANEL_STEP;
    packPanels(target, panel, b + k * row, row, count, N);
  }
}

/** packed, a, M, K: tiles of a[K,M]ᵀ. A unit is PACK_DEPTH rows of a. */
export function packTilesOfMatrix(r: usize, from: i32, to: i32): void {
  const packed = pointer(r, 0);
  const a = pointer(r, 1);
  const M = int(r, 2);
  const K = int(r, 3);
  const tiles = (M + TILE_ROWS - 1) / TILE_ROWS;
  const row = <usize> M << 2;
  for (let k = from * PACK_DEPTH; k < min(to * PACK_DEPTH, K); k += PACK_DEPTH) {
    const start = k / DEPTH * DEPTH;
    const tile = min(DEPTH, K - start) * TILE_STEP;
    const count = min(PACK_DEPTH, K - k);
    const target = packed + start * tiles * TILE_STEP + (k - start) * TILE_STEP;
    packTilesOfColumns(target, tile, a + k * row, row, count, tiles);
  }
}

/**
 * y, a, packed, bias, addend, M, N, K, rows and columns of a unit: y = a[M,K] · b + bias + addend.
 * Scratch: 256 bytes, then the tiles of a unit's rows, DEPTH deep.
 */
export function multiply(r: usize, from: i32, to: i32, scratch: usize): void {
  const y = pointer(r, 0);
  const a = pointer(r, 1);
  const packed = pointer(r, 2);
  const bias = pointer(r, 3);
  const addend = pointer(r, 4);
  const M = int(r, 5);
  const N = int(r, 6);
  const K = int(r, 7);
  const blockRows = int(r, 8);
  const blockColumns = int(r, 9);
  const across = (N + blockColumns - 1) / blockColumns;
  const width = panels(N) * PANEL_STEP;
  const yRow = <usize> N << 2;
  const aRow = <usize> K << 2;
  const tiles = scratch + 256;
  for (let unit = from; unit < to; unit++) {
    const m = unit / across * blockRows;
    const n = unit % across * blockColumns;
    const rows = min(blockRows, M - m);
    const columns = min(blockColumns, N - n);
    const block = y + (<usize> (m * N + n) << 2);
    let shift = advance(bias, <usize> n << 2);
    let add = advance(addend, block - y);
    for (let k = 0; k < K; k += DEPTH) {
      const depth = min(DEPTH, K - k);
      const panel = <usize> depth * PANEL_STEP;
      const b = packed + k * width + (n >> 3) * panel;
      if (M === 1) {
        rowProduct(a + (k << 2), b, panel, block, columns, depth, shift, add, scratch, tiles);
      } else {
        packTiles(tiles, a + m * aRow + (<usize> k << 2), aRow, depth, rows);
        product(tiles, b, panel, block, yRow, rows, columns, depth, shift, add, scratch);
      }
      // What comes deeper is added to what is there.
      shift = NOTHING;
      add = block;
    }
  }
}

/**
 * y, a, b, bias, addend, M, N, K, columns of a unit: y = a[M,K] · b[N,K]ᵀ + bias + addend, b as it lies in memory.
 * A few rows of b stay in the first-level cache for all rows of a.
 */
export function multiplyFewRows(r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const a = pointer(r, 1);
  const b = pointer(r, 2);
  const bias = pointer(r, 3);
  const addend = pointer(r, 4);
  const M = int(r, 5);
  const N = int(r, 6);
  const K = int(r, 7);
  const columns = int(r, 8);
  const row = <usize> K << 2;
  const end = min(to * columns, N);
  for (let n = from * columns; n < end; n += DOTS) {
    const count = min(DOTS, end - n);
    const shift = advance(bias, <usize> n << 2);
    for (let m = 0; m < M; m++) {
      const at = <usize> (m * N + n) << 2;
      dots(y + at, a + m * row, b + n * row, row, K, count, shift, advance(addend, at));
    }
  }
}

/**
 * y, a, packed, bias, addend, M, N, K, rows of a unit: y = a[K,M]ᵀ · b + bias + addend.
 * Scratch: 256 bytes, then the tiles of a unit's rows, DEPTH deep.
 */
export function multiplyRows(r: usize, from: i32, to: i32, scratch: usize): void {
  const y = pointer(r, 0);
  const a = pointer(r, 1);
  const packed = pointer(r, 2);
  const bias = pointer(r, 3);
  const addend = pointer(r, 4);
  const M = int(r, 5);
  const N = int(r, 6);
  const K = int(r, 7);
  const block = int(r, 8);
  const width = panels(N) * PANEL_STEP;
  const aRow = <usize> M << 2;
  const yRow = <usize> N << 2;
  const tiles = scratch + 256;
  for (let unit = from; unit < to; unit++) {
    const m = unit * block;
    const rows = min(block, M - m);
    const count = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const target = y + m * yRow;
    let shift = bias;
    let add = advance(addend, target - y);
    for (let k = 0; k < K; k += DEPTH) {
      const depth = min(DEPTH, K - k);
      for (let i = 0; i < depth; i += PACK_DEPTH) {
        packTilesOfColumns(
          tiles + i * TILE_STEP,
          depth * TILE_STEP,
          a + (k + i) * aRow + (<usize> m << 2),
          aRow,
          min(PACK_DEPTH, depth - i),
          count,
        );
      }
      product(tiles, packed + k * width, depth * PANEL_STEP, target, yRow, rows, N, depth, shift, add, scratch);
      shift = NOTHING;
      add = target;
    }
  }
}

/**
 * y, packed, b, bias, addend, M, N, K, columns of a unit: y = aᵀ · b[K,N] + bias + addend, where the tiles
 * of a are packed. Scratch: 256 bytes, then the panels of a unit's columns, DEPTH deep.
 */
export function multiplyColumns(r: usize, from: i32, to: i32, scratch: usize): void {
  const y = pointer(r, 0);
  const packed = pointer(r, 1);
  const b = pointer(r, 2);
  const bias = pointer(r, 3);
  const addend = pointer(r, 4);
  const M = int(r, 5);
  const N = int(r, 6);
  const K = int(r, 7);
  const block = int(r, 8);
  const height = <usize> ((M + TILE_ROWS - 1) / TILE_ROWS) * TILE_STEP; // bytes of all tiles at one k
  const row = <usize> N << 2;
  const own = scratch + 256;
  for (let unit = from; unit < to; unit++) {
    const n = unit * block;
    const columns = min(block, N - n);
    const target = y + (<usize> n << 2);
    let shift = advance(bias, <usize> n << 2);
    let add = advance(addend, <usize> n << 2);
    for (let k = 0; k < K; k += DEPTH) {
      const depth = min(DEPTH, K - k);
      const panel = depth * PANEL_STEP;
      for (let i = 0; i < depth; i += PACK_DEPTH) {
        const source = b + (k + i) * row + (<usize> n << 2);
        packPanels(own + i * PANEL_STEP, panel, source, row, min(PACK_DEPTH, depth - i), columns);
      }
      product(packed + k * height, own, panel, target, row, M, columns, depth, shift, add, scratch);
      shift = NOTHING;
      add = target;
    }
  }
}

/**
 * y, a, b, bias, addend, form, M, N, K, rows of a unit, alpha, beta: for each matrix y = alpha · product + bias +
 * beta · addend. A unit is a block of rows of one matrix.
 * Scratch: 256 bytes, the tiles of a unit's rows and the panels of b, DEPTH deep, and the unit's sums.
 */
export function multiplyBatch(r: usize, from: i32, to: i32, scratch: usize): void {
  const bias = pointer(r, 3);
  const addend = pointer(r, 4);
  const form = int(r, 5);
  const M = int(r, 6);
  const N = int(r, 7);
  const K = int(r, 8);
  const block = int(r, 9);
  const alpha = float(r, 10);
  const beta = float(r, 11);
  const plain = alpha === 1 && beta === 1;
  const down = (M + block - 1) / block;
  const yRow = <usize> N << 2;
  const aRow = <usize> (form === FORM_TN ? M : K) << 2;
  const bRow = <usize> (form === FORM_NT ? K : N) << 2;
  const tiles = scratch + 256;
  const packed = tiles + <usize> block * DEPTH * 4;
  const sums = packed + panels(N) * PANEL_STEP * DEPTH;
  for (let unit = from; unit < to; unit++) {
    const matrix = unit / down;
    const m = unit % down * block;
    const rows = min(block, M - m);
    const a = pointer(r, 1) + (<usize> matrix * M * K << 2);
    const b = pointer(r, 2) + (<usize> matrix * N * K << 2);
    const at = <usize> (matrix * M + m) * yRow;
    const target = pointer(r, 0) + at;
    const added = advance(addend, at);
    const result = plain ? target : sums;
    let shift = plain ? bias : NOTHING;
    let add = plain ? added : NOTHING;
    for (let k = 0; k < K; k += DEPTH) {
      const depth = min(DEPTH, K - k);
      const panel = <usize> depth * PANEL_STEP;
      if (form === FORM_NT) {
        for (let n = 0; n < N; n += PANEL) {
          packRows(packed + (n >> 3) * panel, b + n * bRow + (<usize> k << 2), bRow, depth, N - n);
        }
      } else {
        packPanels(packed, panel, b + k * bRow, bRow, depth, N);
      }
      if (form === FORM_TN) {
        const count = (rows + TILE_ROWS - 1) / TILE_ROWS;
        packTilesOfColumns(tiles, depth * TILE_STEP, a + k * aRow + (<usize> m << 2), aRow, depth, count);
      } else {
        packTiles(tiles, a + m * aRow + (<usize> k << 2), aRow, depth, rows);
      }
      product(tiles, packed, panel, result, yRow, rows, N, depth, shift, add, scratch);
      shift = NOTHING;
      add = result;
    }
    if (plain) continue;
    for (let row = 0; row < rows; row++) {
      const i = row * yRow;
      weigh(target + i, yRow, alpha, sums + i, bias, beta, advance(added, i));
    }
  }
}

// @ts-ignore: decorator
@inline
function panels(N: i32): usize {
  return <usize> ((N + PANEL - 1) / PANEL);
}
