// The cache of keys and values: filling it.

import { int, pointer } from "./record";

/**
 * cache[B,L,W], qkv[B,T,QKV], start[B], count[B], rows = B · T, T, L, NH · HS, W = 2 · NKV · HS, rows of a unit.
 * What has no place in [0, L) is left out: nothing beside the cache is written.
 */
export function cacheAppend(r: usize, from: i32, to: i32): void {
  const cache = pointer(r, 0);
  const qkv = pointer(r, 1);
  const start = pointer(r, 2);
  const count = pointer(r, 3);
  const T = int(r, 5);
  const L = int(r, 6);
  const queries = <usize> int(r, 7) << 2;
  const width = <usize> int(r, 8) << 2;
  const grain = int(r, 9);
  const end = min(to * grain, int(r, 4));
  for (let row = from * grain; row < end; row++) {
    const b = row / T;
    const t = row - b * T;
    if (t >= load<i32>(count + (<usize> b << 2))) continue;
    const position = load<i32>(start + (<usize> b << 2)) + t;
    if (<u32> position >= <u32> L) continue;
    memory.copy(
      cache + <usize> (b * L + position) * width,
      qkv + <usize> row * (queries + width) + queries,
      width,
    );
  }
}
