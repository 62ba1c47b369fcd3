// Rotary position embedding (RoFormer, arXiv 2104.09864, eq. 34).

import { int, pointer } from "./record";

/**
 * y[B,T,QKV], qkv[B,T,QKV], table[L,HS/2,2], start[B] or 0, rows, T, heads to rotate, heads to copy, HS, L,
 * interleaved, inverse, rows of a unit
 */
export function rope(r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const qkv = pointer(r, 1);
  const table = pointer(r, 2);
  const start = pointer(r, 3);
  const T = int(r, 5);
  const heads = int(r, 6);
  const head = <usize> int(r, 8) << 2; // bytes of a head, and of a row of the table
  const L = int(r, 9);
  const interleaved = int(r, 10) !== 0;
  const sign: f32 = int(r, 11) !== 0 ? -1 : 1;
  const grain = int(r, 12);
  const rotated = <usize> heads * head;
  const copied = <usize> int(r, 7) * head;
  const end = min(to * grain, int(r, 4));
  for (let row = from * grain; row < end; row++) {
    const b = row / T;
    const first = start === 0 ? 0 : load<i32>(start + (<usize> b << 2));
    const angles = table + <usize> min(row - b * T + first, L - 1) * head;
    const at = <usize> row * (rotated + copied);
    const source = qkv + at;
    const target = y + at;
    for (let i: usize = 0; i < rotated; i += head) {
      if (interleaved) {
        turnNeighbours(target + i, source + i, angles, head, sign);
      } else turnHalves(target + i, source + i, angles, head, sign);
    }
    memory.copy(target + rotated, source + rotated, copied);
  }
}

/** One head, pairs being (2i, 2i+1): as the table's (cos, sin) are. */
// @ts-ignore: decorator
@inline
function turnNeighbours(
  y: usize,
  x: usize,
  angles: usize,
  bytes: usize,
  sign: f32,
): void {
  const signs = f32x4(-sign, sign, -sign, sign);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    const pairs = v128.load(x + i);
    const turn = v128.load(angles + i);
    const cos = v128.shuffle<f32>(turn, turn, 0, 0, 2, 2);
    const sin = f32x4.mul(v128.shuffle<f32>(turn, turn, 1, 1, 3, 3), signs);
    const swapped = v128.shuffle<f32>(pairs, pairs, 1, 0, 3, 2);
    const turned = f32x4.add(f32x4.mul(pairs, cos), f32x4.mul(swapped, sin));
    v128.store(y + i, turned);
  }
  for (; i < bytes; i += 8) {
    turnPair(y + i, x + i, angles + i, 4, sign);
  }
}

/** One head, pairs being (i, i + HS/2). */
// @ts-ignore: decorator
@inline
function turnHalves(
  y: usize,
  x: usize,
  angles: usize,
  bytes: usize,
  sign: f32,
): void {
  const half = bytes >> 1;
  const signs = f32x4.splat(sign);
  let i: usize = 0;
  for (; i + 16 <= half; i += 16) {
    const a = v128.load(x + i);
    const b = v128.load(x + half + i);
    const turn0 = v128.load(angles + 2 * i);
    const turn1 = v128.load(angles + 2 * i, 16);
    const cos = v128.shuffle<f32>(turn0, turn1, 0, 2, 4, 6);
    const sin = f32x4.mul(v128.shuffle<f32>(turn0, turn1, 1, 3, 5, 7), signs);
    v128.store(y + i, f32x4.sub(f32x4.mul(a, cos), f32x4.mul(b, sin)));
    v128.store(y + half + i, f32x4.add(f32x4.mul(b, cos), f32x4.mul(a, sin)));
  }
  for (; i < half; i += 4) {
    turnPair(y + i, x + i, angles + 2 * i, half, sign);
  }
}

/** (a, b) → (a cos − b sin, b cos + a sin), b standing so many bytes after a. */
// @ts-ignore: decorator
@inline
function turnPair(
  y: usize,
  x: usize,
  angle: usize,
  distance: usize,
  sign: f32,
): void {
  const a = load<f32>(x);
  const b = load<f32>(x + distance);
  const cos = load<f32>(angle);
  const sin = load<f32>(angle, 4) * sign;
  store<f32>(y, a * cos - b * sin);
  store<f32>(y + distance, b * cos + a * sin);
}
