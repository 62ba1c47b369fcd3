// Matrix products. b is packed in stretches of DEPTH along k, each in panels of 8
// columns, so that a panel and the rows it meets stay in the first-level cache.
// Units: of packing a panel, of the product a block of rows and columns of y.

import { int, pointer } from "./record";
import {
  packColumns,
  packRows,
  packTileOfRows,
  packTilesOfColumns,
  product,
  rowProduct,
} from "./product";
import { advance, PANEL, PANEL_STEP, TILE_ROWS, TILE_STEP } from "./tile";
import { DEPTH, NOTHING } from "../codes";

/** packed, b, N, K, transposed: 1 where b is [N,K], 0 where it is [K,N] */
export function packMatrix(r: usize, from: i32, to: i32): void {
  const packed = pointer(r, 0);
  const b = pointer(r, 1);
  const N = int(r, 2);
  const K = int(r, 3);
  const transposed = int(r, 4) === 1;
  const width = <usize> panels(N) * PANEL_STEP; // bytes of all panels at one k
  for (let k = 0; k < K; k += DEPTH) {
    const depth = min(DEPTH, K - k);
    for (let p = from; p < to; p++) {
      const n = p * PANEL;
      const target = packed + k * width + <usize> p * depth * PANEL_STEP;
      if (transposed) {
        packRows(target, b + (<usize> (n * K + k) << 2), <usize> K << 2, depth, N - n);
      } else {
        packColumns(target, b + (<usize> (k * N + n) << 2), <usize> N << 2, depth, N - n);
      }
    }
  }
}

/**
 * y, a, packed, bias, addend, M, N, K, rows and columns of a unit, transposed:
 * y = a[M,K] · b + bias + addend, or with a[K,M]ᵀ where `transposed` is 1.
 * Scratch: 256 bytes, then the tiles of `rows` rows, DEPTH deep.
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
  const transposed = int(r, 10) === 1;
  const across = (N + blockColumns - 1) / blockColumns;
  const width = <usize> panels(N) * PANEL_STEP;
  const yRow = <usize> N << 2;
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
        if (transposed) {
          const corner = a + (<usize> (k * M + m) << 2);
          const count = (rows + TILE_ROWS - 1) / TILE_ROWS;
          packTilesOfColumns(tiles, corner, <usize> M << 2, depth, count);
        } else {
          const aRow = <usize> K << 2;
          let corner = a + m * aRow + (k << 2);
          for (let i = 0, t = tiles; i < rows; i += TILE_ROWS) {
            packTileOfRows(t, corner, aRow, depth, rows - i);
            t += depth * TILE_STEP, corner += TILE_ROWS * aRow;
          }
        }
        product(tiles, b, panel, block, yRow, rows, columns, depth, shift, add, scratch);
      }
      // What comes deeper is added to what is there.
      shift = NOTHING;
      add = block;
    }
  }
}

// @ts-ignore: decorator
@inline
function panels(N: i32): i32 {
  return (N + PANEL - 1) / PANEL;
}
