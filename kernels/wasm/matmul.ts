/** Matrix products: the right operand is packed, then blocks of the result are shared out. */

import type { KernelDims } from "../vocabulary.ts";
import {
  DEPTH,
  MULTIPLY,
  NOTHING,
  PACK_DEPTH,
  PACK_PANELS_OF_COLUMNS,
  PACK_PANELS_OF_ROWS,
  PACK_TILES,
} from "./codes.ts";
import type { Site, Step } from "./step.ts";

/** Columns of a packed panel; see `assembly/tile.ts`. */
const PANEL = 8;

/** Rows of a tile. */
const TILE_ROWS = 5;

/** Rows of a unit, at most and at least: a few tiles of 5, which stay in the first-level cache with a panel. */
const ROWS = 20;
const FEWEST_ROWS = 10;

/** Columns of a unit, at least. */
const FEWEST_COLUMNS = 32;

/** Units that a product is cut into where it has the rows and columns: enough for threads to even out. */
const UNITS = 24;

/** See {@linkcode KernelDims.matmul}. */
export function matmul(dims: KernelDims["matmul"], site: Site): Step[] {
  const { form, M, N, K, bias, residual, accumulate } = dims;
  const [y] = site.outputs as [number];
  const [a, b, ...rest] = site.inputs as [number, number, ...number[]];
  const panels = Math.ceil(N / PANEL);
  const packed = site.packed(1, 4 * panels * PANEL * K);
  const slices = Math.ceil(K / PACK_DEPTH);
  const steps: Step[] = [{
    kernel: form === "nt" ? PACK_PANELS_OF_ROWS : PACK_PANELS_OF_COLUMNS,
    units: form === "nt" ? panels : slices,
    args: [packed, b, N, K],
    work: N * K,
    packs: 1,
  }];
  let left = a;
  if (form === "tn") {
    left = site.shared(4 * Math.ceil(M / TILE_ROWS) * TILE_ROWS * K);
    const args = [left, a, M, K];
    steps.push({ kernel: PACK_TILES, units: slices, args, work: M * K });
  }
  const biasAt = bias ? rest[0]! : NOTHING;
  const addend = residual ? rest.at(-1)! : accumulate ? y : NOTHING;
  const { rows, columns } = blockOf(M, N);
  site.scratch(256 + 4 * ROWS * DEPTH);
  steps.push({
    kernel: MULTIPLY,
    units: Math.ceil(M / rows) * Math.ceil(N / columns),
    args: [
      ...[y, left, packed, biasAt, addend, M, N, K, rows, columns],
      form === "tn" ? 1 : 0,
    ],
    work: M * N * K,
  });
  return steps;
}

/**
 * Rows and columns of a unit: ROWS and all columns; where that makes too few units, first fewer rows, then
 * fewer columns, since each stretch of columns packs the rows anew.
 */
function blockOf(M: number, N: number): { rows: number; columns: number } {
  const rows = Math.ceil(M / ROWS) >= UNITS ? ROWS : FEWEST_ROWS;
  const down = Math.ceil(M / rows);
  const across = Math.min(
    Math.ceil(UNITS / 2 / down),
    Math.ceil(N / FEWEST_COLUMNS),
  );
  const columns = Math.ceil(N / across / PANEL) * PANEL;
  return { rows: Math.min(rows, M), columns };
}
