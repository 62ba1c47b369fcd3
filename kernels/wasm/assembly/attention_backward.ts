// Attention's gradient. A unit is one key/value head of one row of the batch, with all
// query heads that read it, so that every gradient is summed by one thread, in order.
//
// Queries are computed in stretches of at most STRETCH. For a stretch, p and
// ds = scale · p (dp - δ) are computed block by block as in the forward pass, then
// dv = pᵀ dy and dk = dsᵀ q for the keys that they reach.

import { MASK_CAUSAL, MASK_NONE, NOTHING, QUERIES, STRETCH } from "../codes";
import { packAllRows, width } from "./attention";
import { packPanels, packTiles, packTilesOfColumns, product } from "./product";
import { float, int, pointer } from "./record";
import { dot, drop, exponentials, KEY, MASK, mask, SCALE, scaleBy } from "./scores";
import { PANEL_STEP, TILE_ROWS, TILE_STEP } from "./tile";

/** dqkv, dy, y, lse, qkv, then the dims of scores.ts */
export function attentionBackward(r: usize, from: i32, to: i32, scratch: usize): void {
  const dqkv = pointer(r, 0);
  const dy = pointer(r, 1);
  const y = pointer(r, 2);
  const lse = pointer(r, 3);
  const qkv = pointer(r, 4);
  const dims = r + (5 << 2);
  const T = int(dims, 0);
  const NH = int(dims, 1);
  const NKV = int(dims, 2);
  const HS = int(dims, 3);
  const causal = int(dims, MASK) === MASK_CAUSAL;
  const masked = !causal && int(dims, MASK) !== MASK_NONE;
  const dropout = pointer(dims, KEY) !== NOTHING;
  const scale = float(dims, SCALE);
  const head = <usize> HS << 2;
  const row = (NH + 2 * NKV) * head; // of qkv
  const yRow = NH * head;
  const across = width(T);
  const line = <usize> across << 2;
  const stretch = min(STRETCH, T);

  // Scratch memory: K, V, K, Q and dy packed; p and ds; tiles.
  const rowPanels = across * head;
  const columnPanels = T * (<usize> width(HS) << 2);
  const keyRows = scratch + 256;
  const valueRows = keyRows + rowPanels;
  const keyColumns = valueRows + rowPanels;
  const queryColumns = keyColumns + columnPanels;
  const dyColumns = queryColumns + columnPanels;
  const p = dyColumns + columnPanels;
  const ds = p + (stretch + TILE_ROWS) * line;
  const tiles = ds + (stretch + TILE_ROWS) * line;

  for (let unit = from; unit < to; unit++) {
    const b = unit / NKV;
    const kv = unit % NKV;
    const group = NH / NKV;
    const start = b * T * row;
    const k = start + (NH + kv) * head;
    const v = k + NKV * head;
    packAllRows(keyRows, qkv + k, row, HS, T);
    packAllRows(valueRows, qkv + v, row, HS, T);
    packPanels(keyColumns, T * PANEL_STEP, qkv + k, row, T, HS);
    for (let h = kv * group; h < (kv + 1) * group; h++) {
      const q = start + h * head;
      const out = b * T * yRow + h * head;
      packPanels(queryColumns, T * PANEL_STEP, qkv + q, row, T, HS);
      packPanels(dyColumns, T * PANEL_STEP, dy + out, yRow, T, HS);
      for (let s = 0; s < T; s += stretch) {
        const end = min(s + stretch, T);
        for (let i = s; i < end; i += QUERIES) {
          const rows = min(QUERIES, end - i);
          const padded = (rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
          const keys = causal ? i + rows : T;
          const wide = width(keys);
          const pBlock = p + (i - s) * line;
          const dsBlock = ds + (i - s) * line;
          packTiles(tiles, qkv + q + i * row, row, HS, rows);
          scaleBy(tiles, padded * HS, scale);
          product(tiles, keyRows, HS * PANEL_STEP, pBlock, line, padded, wide, HS, NOTHING, NOTHING, scratch);
          packTiles(tiles, dy + out + i * yRow, yRow, HS, rows);
          product(tiles, valueRows, HS * PANEL_STEP, dsBlock, line, padded, wide, HS, NOTHING, NOTHING, scratch);
          for (let n = 0; n < rows; n++) {
            const at = out + (i + n) * yRow;
            const delta = dot(dy + at, y + at, HS);
            const query = (b * NH + h) * T + i + n;
            const pLine = pBlock + n * line;
            const dsLine = dsBlock + n * line;
            mask(dims, pLine, h, i + n, causal ? i + n + 1 : T, wide);
            exponentials(pLine, wide, load<f32>(lse + (<usize> query << 2)));
            if (dropout) drop(dims, dsLine, query * T, wide);
            scoreGradients(pLine, dsLine, wide, delta, scale);
            if (masked) {
              const next = <usize> (i + n + 1) << 2;
              memory.fill(dsLine + next, 0, (<usize> wide << 2) - next);
            }
            if (dropout) drop(dims, pLine, query * T, wide);
          }
          packTiles(tiles, dsBlock, line, keys, rows);
          product(tiles, keyColumns, T * PANEL_STEP, dqkv + q + i * row, row, rows, HS, keys, NOTHING, NOTHING, scratch);
        }
        const reached = causal ? end : T;
        for (let j = 0; j < reached; j += QUERIES) {
          const keys = min(QUERIES, reached - j);
          // The first query that attends to these keys, rounded down to a block's boundary.
          const skipped = causal && j > s ? (j - s) / QUERIES * QUERIES : 0;
          const depth = end - s - skipped;
          const first = h === kv * group && (causal ? s <= j : s === 0);
          const corner = skipped * line + (<usize> j << 2);
          const panels = (s + skipped) * PANEL_STEP;
          const count = (keys + TILE_ROWS - 1) / TILE_ROWS;
          const dv = dqkv + v + j * row;
          packTilesOfColumns(tiles, depth * TILE_STEP, p + corner, line, depth, count);
          product(tiles, dyColumns + panels, T * PANEL_STEP, dv, row, keys, HS, depth, NOTHING, first ? NOTHING : dv, scratch);
          const dk = dqkv + k + j * row;
          packTilesOfColumns(tiles, depth * TILE_STEP, ds + corner, line, depth, count);
          product(tiles, queryColumns + panels, T * PANEL_STEP, dk, row, keys, HS, depth, NOTHING, first ? NOTHING : dk, scratch);
        }
      }
    }
  }
}

/** ds = scale · p (dp - δ), in place of dp. */
export function scoreGradients(p: usize, ds: usize, wide: i32, delta: f32, scale: f32): void {
  const minus = f32x4.splat(delta);
  const by = f32x4.splat(scale);
  for (let at: usize = 0; at < <usize> wide << 2; at += 16) {
    const dp = f32x4.sub(v128.load(ds + at), minus);
    v128.store(ds + at, f32x4.mul(by, f32x4.mul(v128.load(p + at), dp)));
  }
}
