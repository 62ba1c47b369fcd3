// Matrix products by the machine's BLAS. The host gives each thread a function that calls
// the library's cblas_sgemm on the engine's memory; see lib/backends/wasm/blas/open.ts.

import { FORM_NT, FORM_TN, NOTHING, TURN_ROWS } from "../codes";
import { activate, slope } from "./activation";
import { sumRows } from "./column_sum";
import { begin } from "./elementwise";
import { turnMatrix } from "./product";
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
 * y, a, b, bias, addend, form, M, N, K, rows and columns of a unit, columns and depth of a call, alpha, beta, kind, other,
 * db: for each matrix y = alpha · product + bias + beta · addend. A unit is a block of one matrix, which the library
 * computes in calls of some columns and some numbers along k.
 *
 * A kind from 0 on is an activation, and other = f(y); a kind below is -1 - an activation, and y = y · f'(other);
 * neither if other is NOTHING. If db is not NOTHING, form is FORM_TN and db[m] += the sum over k of a[k,m].
 * Scratch: 32 bytes, then the sums of a unit's rows.
 */
export function multiplyByBlas(r: usize, from: i32, to: i32, scratch: usize): void {
  const bias = pointer(r, 3);
  const addend = pointer(r, 4);
  const form = int(r, 5);
  const M = int(r, 6);
  const N = int(r, 7);
  const K = int(r, 8);
  const unitRows = int(r, 9);
  const unitColumns = int(r, 10);
  const callColumns = int(r, 11);
  const callDepth = int(r, 12);
  const alpha = float(r, 13);
  const beta = float(r, 14);
  const kind = int(r, 15);
  const other = pointer(r, 16);
  const db = pointer(r, 17);
  const down = (M + unitRows - 1) / unitRows;
  const across = (N + unitColumns - 1) / unitColumns;
  const aStride = form === FORM_TN ? M : K;
  const bStride = form === FORM_NT ? K : N;
  // Bytes from a k to the next, and from a column of b to the next.
  const aStep = form === FORM_TN ? <usize> M << 2 : 4;
  const bStep = form === FORM_NT ? 4 : <usize> N << 2;
  const bColumn = form === FORM_NT ? <usize> K << 2 : 4;
  const line = <usize> N << 2;
  for (let unit = from; unit < to; unit++) {
    const matrix = unit / (down * across);
    const m = unit / across % down * unitRows;
    const n = unit % across * unitColumns;
    const rows = min(unitRows, M - m);
    const columns = min(unitColumns, N - n);
    const bytes = <usize> columns << 2;
    const end = <usize> rows * line;
    const at = <usize> ((matrix * M + m) * N + n) << 2;
    const y = pointer(r, 0) + at;
    const add = advance(addend, at);
    let first: f32 = bias === NOTHING && addend === NOTHING ? 0 : 1;
    if (bias === NOTHING && add === y) first = beta;
    else if (first === 1) {
      // The library would set y to 0 first; instead, it adds to what y begins with.
      for (let i: usize = 0; i < end; i += line) {
        begin(y + i, bytes, advance(bias, <usize> n << 2), beta, advance(add, i));
      }
    }
    const a = pointer(r, 1) + (<usize> (matrix * M * K) << 2) + <usize> m * (form === FORM_TN ? 4 : <usize> K << 2);
    const b = pointer(r, 2) + (<usize> (matrix * N * K) << 2) + <usize> n * bColumn;
    for (let c = 0; c < columns; c += callColumns) {
      const target = y + (<usize> c << 2);
      const wide = min(callColumns, columns - c);
      let aFrom = a;
      let bFrom = b + <usize> c * bColumn;
      let scale = first;
      for (let k = 0; k < K; k += callDepth) {
        const depth = min(callDepth, K - k);
        sgemm(form, rows, wide, depth, alpha, aFrom, aStride, bFrom, bStride, scale, target, N);
        if (db !== NOTHING && n + c === 0) addSums(db + (<usize> m << 2), aFrom, depth, aStep, rows, scratch + 32);
        scale = 1;
        aFrom += <usize> depth * aStep;
        bFrom += <usize> depth * bStep;
      }
    }
    if (other === NOTHING) continue;
    // Rows without a gap between them are one.
    const whole = bytes === line;
    for (let i: usize = 0; i < end; i += whole ? end : line) {
      const x = other + at + i;
      if (kind >= 0) activate(kind, x, y + i, whole ? end : bytes, scratch);
      else slope(-1 - kind, y + i, y + i, x, whole ? end : bytes, scratch);
    }
  }
}

/** db[columns] += the sum of the rows of a, which are `stride` bytes apart. `sums` is memory for as many numbers. */
function addSums(db: usize, a: usize, rows: i32, stride: usize, columns: i32, sums: usize): void {
  const bytes = <usize> columns << 2;
  memory.fill(sums, 0, bytes);
  sumRows(sums, a, rows, stride, 0, bytes);
  for (let i: usize = 0; i < bytes; i += 4) {
    store<f32>(db + i, load<f32>(db + i) + load<f32>(sums + i));
  }
}

/** turned, b, N, K: turned[K,N] = b[N,K]ᵀ. A unit is TURN_ROWS rows of b. */
export function turn(r: usize, from: i32, to: i32): void {
  const N = int(r, 2);
  const K = int(r, 3);
  const row = <usize> K << 2;
  const n = from * TURN_ROWS;
  const rows = min(to * TURN_ROWS, N) - n;
  turnMatrix(pointer(r, 0) + (<usize> n << 2), <usize> N << 2, pointer(r, 1) + n * row, row, rows, K);
}
