// Matrix products. b is packed in stretches of DEPTH along k, each in panels of 8
// columns, so that a panel and the rows it meets stay in the first-level cache.
// Units: of packing a panel, of the product a block of rows and columns of y.

import { int, pointer } from "./record";
import { packColumns, packRows, packTile, product, productPacked } from "./product";
import { PANEL, TILE_ROWS } from "./tile";
import { DEPTH } from "../codes";

/** packed, b, N, K, transposed: 1 where b is [N,K], 0 where it is [K,N] */
export function packMatrix(r: usize, from: i32, to: i32): void {
  const packed = pointer(r, 0);
  const b = pointer(r, 1);
  const N = int(r, 2);
  const K = int(r, 3);
  const transposed = int(r, 4) === 1;
  const width = <usize> panels(N) * PANEL << 2; // bytes of all panels at one k
  for (let p = from; p < to; p++) {
    const n = p * PANEL;
    for (let k = 0; k < K; k += DEPTH) {
      const depth = min(DEPTH, K - k);
      const target = packed + k * width + (<usize> p * depth << 5);
      if (transposed) {
        packRows(target, b + (<usize> (n * K + k) << 2), <usize> K << 2, depth, N - n);
      } else {
        packColumns(target, b + (<usize> (k * N + n) << 2), <usize> N << 2, depth, N - n);
      }
    }
  }
}

/** y, a, packed, bias, addend, M, N, K, rows and columns of a unit: y = a[M,K] · b + bias + addend; scratch: EDGE_BYTES */
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
  const width = <usize> panels(N) * PANEL << 2;
  for (let unit = from; unit < to; unit++) {
    const m = unit / across * blockRows;
    const n = unit % across * blockColumns;
    const rows = min(blockRows, M - m);
    const columns = min(blockColumns, N - n);
    const place = <usize> (m * N + n) << 2;
    for (let k = 0; k < K; k += DEPTH) {
      const depth = min(DEPTH, K - k);
      const panel = <usize> depth << 5;
      product(
        a + (<usize> (m * K + k) << 2),
        <usize> K << 2,
        packed + k * width + (n >> 3) * panel,
        panel,
        y + place,
        <usize> N << 2,
        rows,
        columns,
        depth,
        k > 0 || bias === 0 ? 0 : bias + (<usize> n << 2),
        k > 0 ? y + place : addend === 0 ? 0 : addend + place,
        scratch,
      );
    }
  }
}

/** y, a, packed, bias, addend, M, N, K, rows and columns of a unit: y = a[K,M]ᵀ · b + bias + addend; scratch: EDGE_BYTES and rows · DEPTH numbers */
export function multiplyTransposed(r: usize, from: i32, to: i32, scratch: usize): void {
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
  const width = <usize> panels(N) * PANEL << 2;
  const tiles = scratch + 256;
  for (let unit = from; unit < to; unit++) {
    const m = unit / across * blockRows;
    const n = unit % across * blockColumns;
    const rows = min(blockRows, M - m);
    const columns = min(blockColumns, N - n);
    const place = <usize> (m * N + n) << 2;
    for (let k = 0; k < K; k += DEPTH) {
      const depth = min(DEPTH, K - k);
      const panel = <usize> depth << 5;
      const tile = <usize> depth * TILE_ROWS << 2;
      for (let i = 0, t = tiles; i < rows; i += TILE_ROWS, t += tile) {
        packTile(t, a + (<usize> (k * M + m + i) << 2), <usize> M << 2, depth);
      }
      productPacked(
        tiles,
        tile,
        packed + k * width + (n >> 3) * panel,
        panel,
        y + place,
        <usize> N << 2,
        rows,
        columns,
        depth,
        k > 0 || bias === 0 ? 0 : bias + (<usize> n << 2),
        k > 0 ? y + place : addend === 0 ? 0 : addend + place,
        scratch,
      );
    }
  }
}

// @ts-ignore: decorator
@inline
function panels(N: i32): i32 {
  return (N + PANEL - 1) / PANEL;
}
