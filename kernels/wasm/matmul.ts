/** Matrix products: the right operand is packed, then blocks of the result are shared out. */

import type { KernelDims } from "../vocabulary.ts";
import { activationSteps, kinds, slopeSteps } from "./activation.ts";
import { byBlas, type Product, suitsBlas } from "./blas.ts";
import { columnSum } from "./column_sum.ts";
import {
  DEPTH,
  MULTIPLY,
  MULTIPLY_BATCH,
  MULTIPLY_COLUMNS,
  MULTIPLY_FEW_ROWS,
  MULTIPLY_ROWS,
  NOTHING,
  PACK_DEPTH,
  PACK_PANELS_OF_COLUMNS,
  PACK_PANELS_OF_ROWS,
  PACK_TILES,
} from "./codes.ts";
import {
  type Address,
  bits,
  forms,
  MOST_COPIED,
  type Site,
  type Step,
} from "./step.ts";

/** Columns of a packed panel; see `assembly/tile.ts`. */
const PANEL = 8;

/** Rows of a tile. */
const TILE_ROWS = 5;

/** The most and the fewest rows of a unit: a few tiles of 5, which stay in the first-level cache with a panel. */
const ROWS = 20;
const FEWEST_ROWS = 10;

/** The fewest columns of a unit. */
const FEWEST_COLUMNS = 32;

/** Units that a product with enough rows and columns is cut into: enough to spread the work evenly over the threads. */
const UNITS = 24;

/** Units that a product over strips is cut into. */
const STRIPS = 8;

/** The most rows or columns of a strip: DEPTH numbers deep they take 80 KB, and stay in the second-level cache. */
const WIDEST = 80;

/** See {@linkcode signatures.matmul}. */
export function matmul(dims: KernelDims["matmul"], site: Site): Step[] {
  const [y, second] = site.outputs as [Address, Address];
  const [a, b, ...rest] = site.inputs as [Address, Address, ...Address[]];
  const bias = dims.bias ? rest.shift()! : NOTHING;
  const residual = dims.residual ? rest.shift()! : NOTHING;
  const addend = dims.accumulate ? y : residual;
  const product = { dims, site, y, a, b, bias, addend };
  const { activation, slope, sums, count, M, N, K } = dims;
  if (site.blas && suitsBlas(dims, site.blas)) {
    return byBlas(product, {
      ...{ blas: site.blas, db: sums ? second : NOTHING },
      kind: activation ? kinds[activation] : slope ? -1 - kinds[slope] : 0,
      other: activation ? second : slope ? rest[0]! : NOTHING,
    });
  }
  const n = count * M * N;
  return [
    ...sums ? columnSum({ rows: K, N: M }, { db: second, dy: a }, site) : [],
    ...byTiles(product),
    ...slope === null ? [] : slopeSteps(slope, { y, x: rest[0]!, n }, site),
    ...activation === null
      ? []
      : activationSteps(activation, { z: second, y, n }, site),
  ];
}

/** Returns the steps of the product itself, by the engine's tiles. */
function byTiles(product: Product): Step[] {
  const { dims } = product;
  if (dims.count > 1 || dims.alpha !== 1 || dims.beta !== 1) {
    return inBatch(product);
  }
  if (isLarge(dims) && dims.M <= FEW_ROWS) return byFewRows(product);
  if (dims.form !== "tn") return byBlocks(product);
  return dims.M >= dims.N ? byRows(product) : byColumns(product);
}

/** The most rows of a product whose large right operand is read where it is: with more, packing it pays. */
const FEW_ROWS = 64;

/** Columns of a unit of such a product; a multiple of the rows of b that `assembly/dots.ts` takes at a time. */
const FEW_ROWS_COLUMNS = 32;

/** Returns true if b is a weight of which no packed copy is kept. */
function isLarge({ form, N, K }: KernelDims["matmul"]): boolean {
  return form === "nt" && 4 * N * K > MOST_COPIED;
}

/** Returns the step of a[M,K] · b[N,K]ᵀ that reads b where it is. */
function byFewRows({ dims, y, a, b, bias, addend }: Product): Step[] {
  const { M, N, K } = dims;
  return [{
    kernel: MULTIPLY_FEW_ROWS,
    units: Math.ceil(N / FEW_ROWS_COLUMNS),
    args: [y, a, b, bias, addend, M, N, K, FEW_ROWS_COLUMNS],
    work: M * N * K,
  }];
}

/** Returns the steps of a[M,K] · b. Each unit packs the rows of a that it needs. */
function byBlocks({ dims, site, y, a, b, bias, addend }: Product): Step[] {
  const { M, N, K } = dims;
  const { packed, step } = packB(dims, site, b);
  const { rows, columns } = blockOf(M, N);
  site.scratch(256 + 4 * ROWS * DEPTH);
  return [step, {
    kernel: MULTIPLY,
    units: Math.ceil(M / rows) * Math.ceil(N / columns),
    args: [y, a, packed, bias, addend, M, N, K, rows, columns],
    work: M * N * K,
  }];
}

/** Returns the steps of a[K,M]ᵀ · b with many rows. One step packs b for all units; each unit packs its own rows from a strip of a. */
function byRows({ dims, site, y, a, b, bias, addend }: Product): Step[] {
  const { M, N, K } = dims;
  const { packed, step } = packB(dims, site, b);
  const rows = stripOf(M, TILE_ROWS);
  site.scratch(256 + 4 * rows * DEPTH);
  return [step, {
    kernel: MULTIPLY_ROWS,
    units: Math.ceil(M / rows),
    args: [y, a, packed, bias, addend, M, N, K, rows],
    work: M * N * K,
  }];
}

/** Returns the steps of a[K,M]ᵀ · b with many columns. One step packs a for all units; each unit packs its own columns from a strip of b. */
function byColumns({ dims, site, y, a, b, bias, addend }: Product): Step[] {
  const { M, N, K } = dims;
  const packed = site.shared(4 * Math.ceil(M / TILE_ROWS) * TILE_ROWS * K);
  const columns = stripOf(N, PANEL);
  site.scratch(256 + 4 * columns * DEPTH);
  return [{
    kernel: PACK_TILES,
    units: Math.ceil(K / PACK_DEPTH),
    args: [packed, a, M, K],
    work: M * K,
  }, {
    kernel: MULTIPLY_COLUMNS,
    units: Math.ceil(N / columns),
    args: [y, packed, b, bias, addend, M, N, K, columns],
    work: M * N * K,
  }];
}

/** Returns the step of several products, or of one with factors: small ones, each unit of which packs all that it needs. */
function inBatch({ dims, site, y, a, b, bias, addend }: Product): Step[] {
  const { form, count, M, N, K, alpha, beta } = dims;
  const wanted = Math.ceil(M / Math.ceil(UNITS / count) / TILE_ROWS);
  const rows = Math.max(ROWS, wanted * TILE_ROWS);
  const floats = (rows + width(N)) * DEPTH + rows * N;
  site.scratch(256 + 4 * floats);
  return [{
    kernel: MULTIPLY_BATCH,
    units: count * Math.ceil(M / rows),
    args: [
      ...[y, a, b, bias, addend, forms[form], M, N, K, rows],
      ...[bits(alpha), bits(beta)],
    ],
    work: count * M * N * K,
  }];
}

/** Returns the address of b's packed panels, and the step that packs them. */
function packB(
  { form, N, K }: KernelDims["matmul"],
  site: Site,
  b: Address,
): { packed: Address; step: Step } {
  const panels = Math.ceil(N / PANEL);
  const byRows = form === "nt";
  const order = `panels of ${byRows ? "rows" : "columns"}, ${N}x${K}`;
  const packed = site.packed(1, order, 4 * panels * PANEL * K);
  const step = {
    kernel: byRows ? PACK_PANELS_OF_ROWS : PACK_PANELS_OF_COLUMNS,
    units: byRows ? panels : Math.ceil(K / PACK_DEPTH),
    args: [packed, b, N, K],
    work: N * K,
    packs: 1,
  };
  return { packed, step };
}

/** Returns the columns of the panels of N columns. */
function width(N: number): number {
  return Math.ceil(N / PANEL) * PANEL;
}

/** Returns the rows or columns of a unit, a multiple of `step`, such that there are about STRIPS units. */
function stripOf(length: number, step: number): number {
  const wanted = Math.ceil(length / STRIPS / step) * step;
  return Math.min(Math.max(wanted, 2 * step), WIDEST);
}

/**
 * Returns the rows and columns of a unit: ROWS and all columns. If that makes too few units, takes first fewer
 * rows, then fewer columns, since each block of columns packs the rows again.
 */
function blockOf(M: number, N: number): { rows: number; columns: number } {
  const rows = Math.ceil(M / ROWS) >= UNITS ? ROWS : FEWEST_ROWS;
  const down = Math.ceil(M / rows);
  const across = Math.min(
    Math.ceil(UNITS / 2 / down),
    Math.ceil(N / FEWEST_COLUMNS),
  );
  const columns = width(N / across);
  return { rows: Math.min(rows, M), columns };
}
