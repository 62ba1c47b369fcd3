// Matrix products by the machine's BLAS. The host gives each thread a function that calls
// the library's cblas_sgemm on the engine's memory; see lib/backends/wasm/blas/open.ts.

import { FORM_NT, FORM_TN, NOTHING } from "../codes";
import { weigh } from "./elementwise";
import { float, int, pointer } from "./record";
import { advance } from "./tile";

/**
 * y[M,N] = alpha · product + beta · y. Strides are numbers from a row to the next. If beta is 0, y is not read.
 *
 * @param form FORM_NN, FORM_NT or FORM_TN
 */
// @ts-ignore: decorator
@external("env", "sgemm")
export declare function sgemm(
  form: i32,
  M: i32,
  N: i32,
  K: i32,
  alpha: f32,
  a: usize,
  aStride: i32,
  b: usize,
  bStride: i32,
  beta: f32,
  y: usize,
  yStride: i32,
): void;

/**
 * y, a, b, bias, addend, form, M, N, K, rows and columns of a unit, alpha, beta: for each matrix y = alpha · product +
 * bias + beta · addend. A unit is a block of one matrix.
 */
export function multiplyByBlas(r: usize, from: i32, to: i32): void {
  const bias = pointer(r, 3);
  const addend = pointer(r, 4);
  const form = int(r, 5);
  const M = int(r, 6);
  const N = int(r, 7);
  const K = int(r, 8);
  const blockRows = int(r, 9);
  const blockColumns = int(r, 10);
  const alpha = float(r, 11);
  const beta = float(r, 12);
  const down = (M + blockRows - 1) / blockRows;
  const across = (N + blockColumns - 1) / blockColumns;
  const aStride = form === FORM_TN ? M : K;
  const bStride = form === FORM_NT ? K : N;
  for (let unit = from; unit < to; unit++) {
    const matrix = unit / (down * across);
    const m = unit / across % down * blockRows;
    const n = unit % across * blockColumns;
    const rows = min(blockRows, M - m);
    const columns = min(blockColumns, N - n);
    const at = <usize> ((matrix * M + m) * N + n) << 2;
    const y = pointer(r, 0) + at;
    const add = advance(addend, at);
    let scale: f32 = bias === NOTHING && addend === NOTHING ? 0 : 1;
    if (bias === NOTHING && add === y) scale = beta;
    else if (scale === 1) {
      // The library would set y to 0 first; instead, it adds to what y begins with.
      for (let i = 0; i < rows; i++) {
        const line = <usize> (i * N) << 2;
        weigh(y + line, <usize> columns << 2, 0, NOTHING, advance(bias, <usize> n << 2), beta, advance(add, line));
      }
    }
    sgemm(
      form,
      rows,
      columns,
      K,
      alpha,
      pointer(r, 1) + (<usize> (matrix * M * K + (form === FORM_TN ? m : m * K)) << 2),
      aStride,
      pointer(r, 2) + (<usize> (matrix * N * K + (form === FORM_NT ? n * K : n)) << 2),
      bStride,
      scale,
      y,
      N,
    );
  }
}
