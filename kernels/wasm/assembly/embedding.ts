// Kernels that select rows: embeddings and their gradients, and the last row of each sequence.

import { EMBEDDING_COLUMNS, POSITION_BLOCK } from "../codes";
import { int, pointer } from "./record";

/**
 * x[rows,C], tokens[rows], wte[V,C], table[L,C] or 0, start[B] or 0, rows, T, C, V, L, rows of a unit.
 * A token outside [0, V) is replaced by the last one, so that no memory outside wte is read.
 */
export function embedding(r: usize, from: i32, to: i32): void {
  const x = pointer(r, 0);
  const tokens = pointer(r, 1);
  const wte = pointer(r, 2);
  const table = pointer(r, 3);
  const start = pointer(r, 4);
  const T = int(r, 6);
  const V = int(r, 8);
  const L = int(r, 9);
  const width = <usize> int(r, 7) << 2; // bytes of a row
  const grain = int(r, 10);
  const end = min(to * grain, int(r, 5));
  for (let row = from * grain; row < end; row++) {
    const token = min(load<u32>(tokens + (<usize> row << 2)), <u32> V - 1);
    const source = wte + <usize> token * width;
    const y = x + <usize> row * width;
    if (table === 0) {
      memory.copy(y, source, width);
      continue;
    }
    const b = row / T;
    const first = start === 0 ? 0 : load<i32>(start + (<usize> b << 2));
    const position = min(row - b * T + first, L - 1);
    sumOf(y, source, table + <usize> position * width, width);
  }
}

/** dwte[V,C], dx[rows,C], tokens[rows], rows, C, V. A unit is EMBEDDING_COLUMNS columns, and adds row after row. */
export function embeddingBackward(r: usize, from: i32, to: i32): void {
  const dwte = pointer(r, 0);
  const dx = pointer(r, 1);
  const tokens = pointer(r, 2);
  const rows = int(r, 3);
  const C = int(r, 4);
  const V = int(r, 5);
  const width = <usize> C << 2;
  for (let unit = from; unit < to; unit++) {
    const column = unit * EMBEDDING_COLUMNS;
    const bytes = <usize> min(EMBEDDING_COLUMNS, C - column) << 2;
    const begin = <usize> column << 2;
    let source = dx + begin;
    for (let row = 0; row < rows; row++) {
      const token = load<u32>(tokens + (<usize> row << 2));
      // A value that is not a token must not write outside dwte.
      if (token < <u32> V) {
        const target = dwte + begin + <usize> token * width;
        sumOf(target, target, source, bytes);
      }
      source += width;
    }
  }
}

/** dtable[L,C], dx[B,T,C], B, T · C. A unit is POSITION_BLOCK of the T · C elements that get a gradient. */
export function positionBackward(r: usize, from: i32, to: i32): void {
  const dtable = pointer(r, 0);
  const dx = pointer(r, 1);
  const B = int(r, 2);
  const n = int(r, 3);
  const stride = <usize> n << 2;
  const end = <usize> min(to * POSITION_BLOCK, n) << 2;
  let i = <usize> from * POSITION_BLOCK << 2;
  for (; i + 64 <= end; i += 64) {
    let source = dx + i;
    let sum0 = v128.load(source);
    let sum1 = v128.load(source, 16);
    let sum2 = v128.load(source, 32);
    let sum3 = v128.load(source, 48);
    for (let b = 1; b < B; b++) {
      source += stride;
      sum0 = f32x4.add(sum0, v128.load(source));
      sum1 = f32x4.add(sum1, v128.load(source, 16));
      sum2 = f32x4.add(sum2, v128.load(source, 32));
      sum3 = f32x4.add(sum3, v128.load(source, 48));
    }
    const target = dtable + i;
    v128.store(target, f32x4.add(v128.load(target), sum0));
    v128.store(target, f32x4.add(v128.load(target, 16), sum1), 16);
    v128.store(target, f32x4.add(v128.load(target, 32), sum2), 32);
    v128.store(target, f32x4.add(v128.load(target, 48), sum3), 48);
  }
  for (; i < end; i += 4) {
    let source = dx + i;
    let sum = load<f32>(source);
    for (let b = 1; b < B; b++) {
      source += stride;
      sum += load<f32>(source);
    }
    store<f32>(dtable + i, load<f32>(dtable + i) + sum);
  }
}

/** y[B,C], x[B,T,C], count[B], B, T, C, rows of a unit */
export function selectLast(r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const x = pointer(r, 1);
  const count = pointer(r, 2);
  const T = int(r, 4);
  const width = <usize> int(r, 5) << 2;
  const grain = int(r, 6);
  const end = min(to * grain, int(r, 3));
  for (let b = from * grain; b < end; b++) {
    const last = min(load<i32>(count + (<usize> b << 2)), T) - 1;
    const target = y + <usize> b * width;
    if (last < 0) memory.fill(target, 0, width);
    else memory.copy(target, x + <usize> (b * T + last) * width, width);
  }
}

/** y = a + b, over `bytes` bytes; y may be a. */
// @ts-ignore: decorator
@inline
function sumOf(y: usize, a: usize, b: usize, bytes: usize): void {
  let i: usize = 0;
  for (; i + 64 <= bytes; i += 64) {
    const sum0 = f32x4.add(v128.load(a + i), v128.load(b + i));
    const sum1 = f32x4.add(v128.load(a + i, 16), v128.load(b + i, 16));
    const sum2 = f32x4.add(v128.load(a + i, 32), v128.load(b + i, 32));
    const sum3 = f32x4.add(v128.load(a + i, 48), v128.load(b + i, 48));
    v128.store(y + i, sum0);
    v128.store(y + i, sum1, 16);
    v128.store(y + i, sum2, 32);
    v128.store(y + i, sum3, 48);
  }
  for (; i + 16 <= bytes; i += 16) {
    v128.store(y + i, f32x4.add(v128.load(a + i), v128.load(b + i)));
  }
  for (; i < bytes; i += 4) {
    store<f32>(y + i, load<f32>(a + i) + load<f32>(b + i));
  }
}
