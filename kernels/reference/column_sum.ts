/** The reference kernel that sums over rows: a bias's gradient. */

import type { KernelDims } from "../vocabulary.ts";
import type { F64 } from "./kernel.ts";

/** db[n] += Σ over rows of dy[row,n]. */
export function columnSum(
  [db]: readonly [F64],
  [dy]: readonly [F64],
  { rows, N }: KernelDims["columnSum"],
): void {
  for (let row = 0; row < rows; row++) {
    for (let n = 0; n < N; n++) db[n]! += dy[row * N + n]!;
  }
}
