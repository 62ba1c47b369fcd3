// Attention of a whole sequence, forward. A unit is one query head of one row of the batch.
//
// Queries are computed in blocks of QUERIES. With a causal mask, only the scores of keys up to
// the block's last query are computed; the others are never read.

import { MASK_CAUSAL, NOTHING, QUERIES } from "../codes";
import { log } from "./math";
import { packPanels, packRows, packTiles, product } from "./product";
import { float, int, pointer } from "./record";
import { drop, exponentials, KEY, largest, MASK, mask, SCALE, scaleBy } from "./scores";
import { PANEL, PANEL_STEP, TILE_ROWS } from "./tile";

/** y, lse, qkv, then the dims of scores.ts */
export function attention(r: usize, from: i32, to: i32, scratch: usize): void {
  const y = pointer(r, 0);
  const lse = pointer(r, 1);
  const qkv = pointer(r, 2);
  const dims = r + (3 << 2);
  const T = int(dims, 0);
  const NH = int(dims, 1);
  const NKV = int(dims, 2);
  const HS = int(dims, 3);
  const causal = int(dims, MASK) === MASK_CAUSAL;
  const dropout = pointer(dims, KEY) !== NOTHING;
  const scale = float(dims, SCALE);
  const head = <usize> HS << 2;
  const row = (NH + 2 * NKV) * head; // of qkv
  const yRow = NH * head;
  const across = width(T);

  const keyPanels = scratch + 256;
  const valuePanels = keyPanels + across * head;
  const scores = valuePanels + T * (<usize> width(HS) << 2);
  const tiles = scores + (QUERIES * across << 2);
  const sums = tiles + (QUERIES * max(T, HS) << 2);

  for (let unit = from; unit < to; unit++) {
    const b = unit / NH;
    const h = unit % NH;
    const q = qkv + b * T * row + h * head;
    const k = qkv + b * T * row + (NH + h * NKV / NH) * head;
    const v = k + NKV * head;
    const out = y + b * T * yRow + h * head;
    packAllRows(keyPanels, k, row, HS, T);
    packPanels(valuePanels, T * PANEL_STEP, v, row, T, HS);
    for (let i = 0; i < T; i += QUERIES) {
      const rows = min(QUERIES, T - i);
      const padded = (rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
      const keys = causal ? i + rows : T;
      const wide = width(keys);
      packTiles(tiles, q + i * row, row, HS, rows);
      scaleBy(tiles, padded * HS, scale);
      product(tiles, keyPanels, HS * PANEL_STEP, scores, <usize> across << 2, padded, wide, HS, NOTHING, NOTHING, scratch);
      for (let n = 0; n < rows; n++) {
        const line = scores + (n * across << 2);
        mask(dims, line, h, i + n, causal ? i + n + 1 : T, wide);
        const most = largest(line, wide);
        const sum = exponentials(line, wide, most);
        const query = (b * NH + h) * T + i + n;
        store<f32>(lse + (<usize> query << 2), most + log(sum));
        store<f32>(sums + (<usize> n << 2), sum);
        if (dropout) drop(dims, line, query * T, wide);
      }
      packTiles(tiles, scores, <usize> across << 2, keys, rows);
      product(tiles, valuePanels, T * PANEL_STEP, out + i * yRow, yRow, rows, HS, keys, NOTHING, NOTHING, scratch);
      for (let n = 0; n < rows; n++) {
        const sum = load<f32>(sums + (<usize> n << 2));
        scaleBy(out + (i + n) * yRow, HS, 1 / sum);
      }
    }
  }
}

/** Returns n rounded up to whole panels. */
// @ts-ignore: decorator
@inline
export function width(n: i32): i32 {
  return (n + PANEL - 1) / PANEL * PANEL;
}

/** Packs x[N,K] as the transposed right operand of a product: panels [K][8]. */
export function packAllRows(to: usize, x: usize, row: usize, K: i32, N: i32): void {
  for (let n = 0; n < N; n += PANEL) {
    packRows(to, x, row, K, N - n);
    to += K * PANEL_STEP;
    x += PANEL * row;
  }
}
