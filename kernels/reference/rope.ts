/** Reference kernel of rotary position embedding. */

import type { KernelDims } from "../vocabulary.ts";
import { positionOf } from "./embedding.ts";
import type { F64, I32 } from "./kernel.ts";

/**
 * (x, y) → (x cos θ - y sin θ, y cos θ + x sin θ) for every pair of every query and key head
 * (arXiv 2104.09864, eq. 34), θ from the table's row of the position. The inverse turns by -θ:
 * a rotation's transpose. Values are copied.
 */
export function rope(
  [y]: readonly [F64],
  [qkv, table, start]: readonly [F64, F64, I32?],
  dims: KernelDims["rope"],
): void {
  const { B, T, NH, NKV, HS, L, interleaved, inverse } = dims;
  const QKV = (NH + 2 * NKV) * HS;
  const half = HS / 2;
  y.set(qkv);
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) {
      const position = positionOf(start, { b, t, L });
      for (let head = 0; head < NH + NKV; head++) {
        const at = (b * T + t) * QKV + head * HS;
        for (let pair = 0; pair < half; pair++) {
          const first = at + (interleaved ? 2 * pair : pair);
          const second = interleaved ? first + 1 : first + half;
          const cos = table[(position * half + pair) * 2]!;
          const sin = table[(position * half + pair) * 2 + 1]! *
            (inverse ? -1 : 1);
          y[first] = qkv[first]! * cos - qkv[second]! * sin;
          y[second] = qkv[second]! * cos + qkv[first]! * sin;
        }
      }
    }
  }
}
