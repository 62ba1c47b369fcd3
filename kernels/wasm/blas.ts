/** Matrix products by the machine's BLAS: the result is cut into blocks, each a call of the library. */

import type { KernelDims } from "../vocabulary.ts";
import { BLAS_PRODUCT } from "./codes.ts";
import { forms, type Product } from "./matmul.ts";
import { bits, type Step } from "./step.ts";

/** Multiplications and additions of a matrix from which on a call of the library is faster than the engine's own tiles. */
const FEWEST = 100_000;

/** The most blocks of a matrix: enough for 16 threads. For every block the library packs an operand again. */
const BLOCKS = 16;

/** Multiplications and additions that a block has at least, if the matrix has as many. */
const BLOCK_WORK = 2_000_000;

/** The number of rows or columns of a block is a multiple of this: the widest vectors, and a cache line. */
const STEP = 16;

/** Returns true if the library computes a product faster than the engine does. */
export function suitsBlas({ M, N, K }: KernelDims["matmul"]): boolean {
  return M > 1 && M * N * K >= FEWEST;
}

/** Returns the step of a product, in blocks of rows or, if a matrix is wider than high, of columns. */
export function byBlas(
  { dims, y, a, b, bias, addend }: Product,
): Step[] {
  const { form, count, M, N, K, alpha, beta } = dims;
  const work = M * N * K;
  const blocks = Math.min(BLOCKS, Math.ceil(work / BLOCK_WORK));
  const blockOf = (length: number) =>
    Math.min(Math.ceil(length / blocks / STEP) * STEP, length);
  const [rows, columns] = M >= N ? [blockOf(M), N] : [M, blockOf(N)];
  return [{
    kernel: BLAS_PRODUCT,
    units: count * Math.ceil(M / rows) * Math.ceil(N / columns),
    args: [
      ...[y, a, b, bias, addend, forms[form], M, N, K, rows, columns],
      ...[bits(alpha), bits(beta)],
    ],
    work: count * work,
  }];
}
