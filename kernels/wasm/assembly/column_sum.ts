// The sum over rows: a bias's gradient. A unit is SUM_COLUMNS columns.

import { SUM_COLUMNS } from "../codes";
import { int, pointer } from "./record";

/** db[N], dy[rows,N], rows, N */
export function columnSum(r: usize, from: i32, to: i32): void {
  const db = pointer(r, 0);
  let dy = pointer(r, 1);
  const rows = int(r, 2);
  const stride = <usize> int(r, 3) << 2;
  const begin = <usize> from * SUM_COLUMNS << 2;
  const end = min(<usize> to * SUM_COLUMNS << 2, stride);
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

/** Columns [i, end) of db += the sum of eight rows: as many streams as keep memory busy. */
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
