// The sum over rows: a bias's gradient. A unit is SUM_COLUMNS columns.

import { SUM_COLUMNS } from "../codes";
import { int, pointer } from "./record";

/** db[N], dy[rows,N], rows, N */
export function columnSum(r: usize, from: i32, to: i32): void {
  const db = pointer(r, 0);
  const dy = pointer(r, 1);
  const rows = int(r, 2);
  const stride = <usize> int(r, 3) << 2;
  const end = min(<usize> to * SUM_COLUMNS << 2, stride);
  let i = <usize> from * SUM_COLUMNS << 2;
  for (; i + 128 <= end; i += 128) sumOf32(db + i, dy + i, rows, stride);
  for (; i + 16 <= end; i += 16) sumOf4(db + i, dy + i, rows, stride);
  for (; i < end; i += 4) sumOf1(db + i, dy + i, rows, stride);
}

/** db[32] += the sum over rows; as many sums under way as hide the time that one addition takes. */
// @ts-ignore: decorator
@inline
function sumOf32(db: usize, dy: usize, rows: i32, stride: usize): void {
  let sum0 = v128.load(db);
  let sum1 = v128.load(db, 16);
  let sum2 = v128.load(db, 32);
  let sum3 = v128.load(db, 48);
  let sum4 = v128.load(db, 64);
  let sum5 = v128.load(db, 80);
  let sum6 = v128.load(db, 96);
  let sum7 = v128.load(db, 112);
  for (let row = 0; row < rows; row++) {
    sum0 = f32x4.add(sum0, v128.load(dy));
    sum1 = f32x4.add(sum1, v128.load(dy, 16));
    sum2 = f32x4.add(sum2, v128.load(dy, 32));
    sum3 = f32x4.add(sum3, v128.load(dy, 48));
    sum4 = f32x4.add(sum4, v128.load(dy, 64));
    sum5 = f32x4.add(sum5, v128.load(dy, 80));
    sum6 = f32x4.add(sum6, v128.load(dy, 96));
    sum7 = f32x4.add(sum7, v128.load(dy, 112));
    dy += stride;
  }
  v128.store(db, sum0);
  v128.store(db, sum1, 16);
  v128.store(db, sum2, 32);
  v128.store(db, sum3, 48);
  v128.store(db, sum4, 64);
  v128.store(db, sum5, 80);
  v128.store(db, sum6, 96);
  v128.store(db, sum7, 112);
}

/** db[4] += the sum over rows, in four sums of every fourth row. */
// @ts-ignore: decorator
@inline
function sumOf4(db: usize, dy: usize, rows: i32, stride: usize): void {
  let sum0 = v128.load(db);
  let sum1 = f32x4.splat(0);
  let sum2 = f32x4.splat(0);
  let sum3 = f32x4.splat(0);
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    sum0 = f32x4.add(sum0, v128.load(dy));
    sum1 = f32x4.add(sum1, v128.load(dy + stride));
    sum2 = f32x4.add(sum2, v128.load(dy + 2 * stride));
    sum3 = f32x4.add(sum3, v128.load(dy + 3 * stride));
    dy += 4 * stride;
  }
  for (; row < rows; row++) {
    sum0 = f32x4.add(sum0, v128.load(dy));
    dy += stride;
  }
  v128.store(db, f32x4.add(f32x4.add(sum0, sum1), f32x4.add(sum2, sum3)));
}

/** db[1] += the sum over rows, in four sums of every fourth row. */
// @ts-ignore: decorator
@inline
function sumOf1(db: usize, dy: usize, rows: i32, stride: usize): void {
  let sum0 = load<f32>(db);
  let sum1: f32 = 0;
  let sum2: f32 = 0;
  let sum3: f32 = 0;
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    sum0 += load<f32>(dy);
    sum1 += load<f32>(dy + stride);
    sum2 += load<f32>(dy + 2 * stride);
    sum3 += load<f32>(dy + 3 * stride);
    dy += 4 * stride;
  }
  for (; row < rows; row++) {
    sum0 += load<f32>(dy);
    dy += stride;
  }
  store<f32>(db, (sum0 + sum1) + (sum2 + sum3));
}
