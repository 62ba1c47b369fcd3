// The sum over rows: a bias's gradient. Many rows are first summed in stretches of rows, each
// read in the order of memory: a thread that summed some columns of all rows would read a
// small part of many cache lines.

import { SUM_COLUMNS, SUM_ROWS } from "../codes";
import { int, pointer } from "./record";

/** partial[stretches,N], dy[rows,N], rows, N. A unit is a stretch of SUM_ROWS rows. */
export function columnSumOfStretches(r: usize, from: i32, to: i32): void {
  const partial = pointer(r, 0);
  const dy = pointer(r, 1);
  const rows = int(r, 2);
  const stride = <usize> int(r, 3) << 2;
  for (let stretch = from; stretch < to; stretch++) {
    const sum = partial + stretch * stride;
    const first = stretch * SUM_ROWS;
    memory.fill(sum, 0, stride);
    sumRows(sum, dy + first * stride, min(SUM_ROWS, rows - first), stride, 0, stride);
  }
}

/** db[N], dy[rows,N], rows, N. A unit is SUM_COLUMNS columns. */
export function columnSum(r: usize, from: i32, to: i32): void {
  const stride = <usize> int(r, 3) << 2;
  const begin = <usize> from * SUM_COLUMNS << 2;
  const end = min(<usize> to * SUM_COLUMNS << 2, stride);
  sumRows(pointer(r, 0), pointer(r, 1), int(r, 2), stride, begin, end);
}

/** Bytes [begin, end) of db += the sum of those of all rows, which are `stride` bytes apart. */
export function sumRows(
  db: usize,
  dy: usize,
  rows: i32,
  stride: usize,
  begin: usize,
  end: usize,
): void {
  let row = 0;
  for (; row + 8 <= rows; row += 8) {
    addRows(db, dy, stride, begin, end);
    dy += 8 * stride;
  }
  for (; row < rows; row++) {
    let i = begin;
    for (; i + 16 <= end; i += 16) {
      v128.store(db + i, f32x4.add(v128.load(db + i), v128.load(dy + i)));
    }
    for (; i < end; i += 4) {
      store<f32>(db + i, load<f32>(db + i) + load<f32>(dy + i));
    }
    dy += stride;
  }
}

/** Columns [i, end) of db += the sum of eight rows: enough streams to keep memory busy. */
// @ts-ignore: decorator
@inline
function addRows(
  db: usize,
  dy: usize,
  stride: usize,
  i: usize,
  end: usize,
): void {
  const dy1 = dy + stride;
  const dy2 = dy1 + stride;
  const dy3 = dy2 + stride;
  const dy4 = dy3 + stride;
  const dy5 = dy4 + stride;
  const dy6 = dy5 + stride;
  const dy7 = dy6 + stride;
  for (; i + 16 <= end; i += 16) {
    const sum01 = f32x4.add(v128.load(dy + i), v128.load(dy1 + i));
    const sum23 = f32x4.add(v128.load(dy2 + i), v128.load(dy3 + i));
    const sum45 = f32x4.add(v128.load(dy4 + i), v128.load(dy5 + i));
    const sum67 = f32x4.add(v128.load(dy6 + i), v128.load(dy7 + i));
    const sum = f32x4.add(f32x4.add(sum01, sum23), f32x4.add(sum45, sum67));
    v128.store(db + i, f32x4.add(v128.load(db + i), sum));
  }
  for (; i < end; i += 4) {
    const sum01 = load<f32>(dy + i) + load<f32>(dy1 + i);
    const sum23 = load<f32>(dy2 + i) + load<f32>(dy3 + i);
    const sum45 = load<f32>(dy4 + i) + load<f32>(dy5 + i);
    const sum67 = load<f32>(dy6 + i) + load<f32>(dy7 + i);
    const sum = (sum01 + sum23) + (sum45 + sum67);
    store<f32>(db + i, load<f32>(db + i) + sum);
  }
}
