// Sums and copies. A unit is BLOCK elements.

import { BLOCK } from "../codes";
import { int, pointer } from "./record";

/** y, a, b, n */
export function add(r: usize, from: i32, to: i32): void {
  const y = pointer(r, 0);
  const a = pointer(r, 1);
  const b = pointer(r, 2);
  const end = <usize> min(to * BLOCK, int(r, 3)) << 2;
  let i = <usize> from * BLOCK << 2;
  for (; i + 16 <= end; i += 16) {
    v128.store(y + i, f32x4.add(v128.load(a + i), v128.load(b + i)));
  }
  for (; i < end; i += 4) {
    store<f32>(y + i, load<f32>(a + i) + load<f32>(b + i));
  }
}

/** y, x, n */
export function copy(r: usize, from: i32, to: i32): void {
  const begin = <usize> from * BLOCK << 2;
  const end = <usize> min(to * BLOCK, int(r, 2)) << 2;
  memory.copy(pointer(r, 0) + begin, pointer(r, 1) + begin, end - begin);
}
