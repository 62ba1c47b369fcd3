// Rotary position embedding (RoFormer, arXiv 2104.09864, eq. 34).

import { int, pointer } from "./record";
import { copyNumbers } from "./vector";

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
    if (interleaved) {
      turnNeighbours(target, source, angles, head, heads, sign);
    } else turnHalves(target, source, angles, head, heads, sign);
    copyNumbers(target + rotated, source + rotated, copied);
  }
}

/** Rotates the heads of a row in pairs (2i, 2i+1), the order of the table's (cos, sin). */
// @ts-ignore: decorator
@inline
function turnNeighbours(
  y: usize,
  x: usize,
  angles: usize,
  head: usize,
  heads: i32,
  sign: f32,
): void {
  const signs = f32x4(-sign, sign, -sign, sign);
  let i: usize = 0;
  for (; i + 16 <= head; i += 16) {
    const turn = v128.load(angles + i);
    const cos = v128.shuffle<f32>(turn, turn, 0, 0, 2, 2);
    const sin = f32x4.mul(v128.shuffle<f32>(turn, turn, 1, 1, 3, 3), signs);
    let at = i;
    for (let h = 0; h < heads; h++, at += head) {
      const pairs = v128.load(x + at);
      const swapped = v128.shuffle<f32>(pairs, pairs, 1, 0, 3, 2);
      const turned = f32x4.add(f32x4.mul(pairs, cos), f32x4.mul(swapped, sin));
      v128.store(y + at, turned);
    }
  }
  if (i < head) turnPairs(y + i, x + i, angles + i, 4, head, heads, sign);
}

/** Rotates the heads of a row in pairs (i, i + HS/2). */
// @ts-ignore: decorator
@inline
function turnHalves(
  y: usize,
  x: usize,
  angles: usize,
  head: usize,
  heads: i32,
  sign: f32,
): void {
  const half = head >> 1;
  const signs = f32x4.splat(sign);
  let i: usize = 0;
  for (; i + 16 <= half; i += 16) {
    const turn0 = v128.load(angles + 2 * i);
    const turn1 = v128.load(angles + 2 * i, 16);
    const cos = v128.shuffle<f32>(turn0, turn1, 0, 2, 4, 6);
    const sin = f32x4.mul(v128.shuffle<f32>(turn0, turn1, 1, 3, 5, 7), signs);
    let at = i;
    for (let h = 0; h < heads; h++, at += head) {
      const a = v128.load(x + at);
      const b = v128.load(x + half + at);
      v128.store(y + at, f32x4.sub(f32x4.mul(a, cos), f32x4.mul(b, sin)));
      v128.store(
        y + half + at,
        f32x4.add(f32x4.mul(b, cos), f32x4.mul(a, sin)),
      );
    }
  }
  for (; i < half; i += 4) {
    turnPairs(y + i, x + i, angles + 2 * i, half, head, heads, sign);
  }
}

/** Rotates a pair of each head: (a, b) → (a cos − b sin, b cos + a sin), where b is `distance` bytes after a. */
// @ts-ignore: decorator
@inline
function turnPairs(
  y: usize,
  x: usize,
  angle: usize,
  distance: usize,
  head: usize,
  heads: i32,
  sign: f32,
): void {
  const cos = load<f32>(angle);
  const sin = load<f32>(angle, 4) * sign;
  let at: usize = 0;
  for (let h = 0; h < heads; h++, at += head) {
    const a = load<f32>(x + at);
    const b = load<f32>(x + at + distance);
    store<f32>(y + at, a * cos - b * sin);
    store<f32>(y + at + distance, b * cos + a * sin);
  }
}
