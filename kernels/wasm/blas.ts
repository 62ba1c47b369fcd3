/** Matrix products by the machine's BLAS: which it gets, and the blocks in which it computes them. */

import type { KernelDims } from "../vocabulary.ts";
import { MULTIPLY_BY_BLAS, TURN, TURN_ROWS } from "./codes.ts";
import {
  type Address,
  bits,
  type BlasTraits,
  forms,
  type Site,
  type Step,
} from "./step.ts";

/** Multiplications and additions of a matrix from which on a call of the library is faster than the engine's own tiles. */
const BLAS_FEWEST = 16_000;

/** Dims and addresses that all steps of a product use. */
export interface Product {
  readonly dims: KernelDims["matmul"];
  readonly site: Site;
  readonly y: Address;
  readonly a: Address;
  readonly b: Address;
  readonly bias: Address;
  readonly addend: Address;
}

/** Returns true if the library computes a product faster than the engine does. */
export function suitsBlas(
  { M, N, K }: KernelDims["matmul"],
  { unpacked }: BlasTraits,
): boolean {
  return (M > 1 || unpacked > 0) && M * N * K >= BLAS_FEWEST;
}

/** Returns the steps of a product by the library, with calls for each block, and of what follows from it. */
export function byBlas(
  { dims, site, y, a, b, bias, addend }: Product,
  { blas, kind, other, db }: {
    readonly blas: BlasTraits;
    readonly kind: number;
    readonly other: Address;
    readonly db: Address;
  },
): Step[] {
  const { count, M, N, K, alpha, beta } = dims;
  const isTurned = blas.unpacked > 0 && isWorthTurning(dims);
  const form = isTurned ? "nn" : dims.form;
  const from = isTurned ? site.packed(1, `turned, ${N}x${K}`, 4 * N * K) : b;
  const { rows, columns, wide = columns, depth } = blas.unpacked > 0
    ? unpackedBlockOf({ ...dims, form }, blas.unpacked)
    : packedBlockOf(dims);
  site.scratch(32 + 4 * rows);
  const product: Step = {
    kernel: MULTIPLY_BY_BLAS,
    units: count * Math.ceil(M / rows) * Math.ceil(N / wide),
    args: [
      ...[y, a, from, bias, addend, forms[form], M, N, K],
      ...[rows, wide, columns, depth, bits(alpha), bits(beta)],
      ...[kind, other, db],
    ],
    work: count * M * N * K,
  };
  if (!isTurned) return [product];
  return [{
    kernel: TURN,
    units: Math.ceil(N / TURN_ROWS),
    args: [from, b, N, K],
    work: N * K,
    packs: 1,
  }, product];
}

/** The sizes of the library's calls. */
interface BlasBlock {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  /** Columns of a unit, which computes them one call after another; those of a call if left out. */
  readonly wide?: number;
}

/** The most blocks of a matrix: enough for 16 threads. For every block the library packs an operand again. */
const BLOCKS = 16;

/** Multiplications and additions that a block has at least, if the matrix has as many. */
const BLOCK_WORK = 1_000_000;

/** The fewest rows or columns of a block that was cut: with fewer, the library is slower. */
const LEAST = 64;

/** The number of rows or columns of a block is a multiple of this: the widest vectors, and a cache line. */
const STEP = 16;

/** Returns rows and columns of a block for a library that packs: halves the longer side until there are enough blocks. */
function packedBlockOf({ M, N, K }: KernelDims["matmul"]): BlasBlock {
  const wanted = Math.min(BLOCKS, M * N * K / BLOCK_WORK);
  let [rows, columns] = [M, N];
  const half = (length: number) => Math.ceil(length / 2 / STEP) * STEP;
  for (let blocks = 1; 2 * blocks <= wanted; blocks *= 2) {
    if (half(Math.max(rows, columns)) < LEAST) break;
    if (rows >= columns) rows = half(rows);
    else columns = half(columns);
  }
  return { rows, columns, depth: K };
}

/** The fewest rows of a matrix for which the right operand of a linear map is turned: with fewer, reading it takes the time. */
const TURN_FEWEST = 8;

/** The most bytes of a matrix that is turned, since the turned copy stays in memory. */
const TURN_MOST = 2 ** 22;

/** Returns true if the library gets a copy of b as `nn` reads it: without packing, it computes `nn` faster than `nt`. */
function isWorthTurning(
  { form, count, M, N, K }: KernelDims["matmul"],
): boolean {
  return form === "nt" && count === 1 && M >= TURN_FEWEST &&
    4 * N * K <= TURN_MOST;
}

/** The most numbers of a block without packing: as many along k, and as many columns, stay in the first-level cache. */
const DEEPEST = 256;
const WIDEST = 128;
const TALLEST = 32;

/** The most results of an `nt` block: for more, the library packs. */
const NT_RESULTS = 1200;

/** The fewest multiplications and additions of a block: of a row, which waits for memory, and of several. */
const ROW_WORK = 2 ** 15;
const FEWEST_WORK = 2 ** 19;

/** Returns a block for a library that computes up to `most` multiplications and additions without packing. */
function unpackedBlockOf(
  { form, M, N, K }: KernelDims["matmul"],
  most: number,
): BlasBlock {
  const results = form === "nt" ? NT_RESULTS : Infinity;
  if (M < STEP) {
    // All rows, and some columns. Enough blocks for 16 threads, if these are large enough.
    const depth = evenly(K, most / M / STEP, 1);
    const least = M === 1 ? ROW_WORK : FEWEST_WORK;
    const work = Math.min(Math.max(M * N * K / BLOCKS, least), most);
    const wide = Math.min(work / (M * depth), results / M);
    return { rows: M, columns: evenly(N, wide, STEP), depth };
  }
  const depth = evenly(K, DEEPEST, STEP);
  const tall = form === "nt" ? 2 * STEP : TALLEST;
  const columns = evenly(
    N,
    Math.min(WIDEST, results / Math.min(M, tall)),
    STEP,
  );
  const rows = evenly(M, Math.min(most / (columns * depth), tall), STEP / 2);
  // Whole rows follow one another in memory, which activations read faster.
  return { rows, columns, depth, wide: form === "tn" ? columns : N };
}

/** Returns the length of the equal parts of `length`, each a multiple of `step` and, if it can be, at most `most`. */
function evenly(length: number, most: number, step: number): number {
  const longest = Math.max(Math.floor(most / step), 1) * step;
  const parts = Math.ceil(length / longest);
  return Math.min(Math.ceil(length / parts / step) * step, length);
}
