/** Reference kernels that pick rows: token and position embeddings, their gradients, and the last row of each sequence. */

import type { KernelDims } from "../vocabulary.ts";
import type { F64, I32 } from "./kernel.ts";

/** x[b,t] = wte[tokens[b,t]] (+ table[t + start[b]]). */
export function embedding(
  [x]: readonly [F64],
  [tokens, wte, ...rest]: readonly [I32, F64, ...unknown[]],
  dims: KernelDims["embedding"],
): void {
  const { B, T, C, L, positions } = dims;
  const table = positions ? rest[0] as F64 : undefined;
  const start = dims.start ? rest[positions ? 1 : 0] as I32 : undefined;
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) {
      const at = (b * T + t) * C;
      const token = tokens[b * T + t]!;
      const position = positionOf(start, { b, t, L });
      for (let c = 0; c < C; c++) {
        x[at + c] = wte[token * C + c]! +
          (table ? table[position * C + c]! : 0);
      }
    }
  }
}

/** dwte[v] += Σ of dx over the rows with token v. */
export function embeddingBackward(
  [dwte]: readonly [F64],
  [dx, tokens]: readonly [F64, I32],
  { rows, C }: KernelDims["embeddingBackward"],
): void {
  for (let row = 0; row < rows; row++) {
    const token = tokens[row]!;
    for (let c = 0; c < C; c++) dwte[token * C + c]! += dx[row * C + c]!;
  }
}

/** dtable[t] += Σ over b of dx[b,t]. */
export function positionBackward(
  [dtable]: readonly [F64],
  [dx]: readonly [F64],
  { B, T, C }: KernelDims["positionBackward"],
): void {
  for (let b = 0; b < B; b++) {
    for (let i = 0; i < T * C; i++) dtable[i]! += dx[b * T * C + i]!;
  }
}

/** y[b] = x[b, count[b] - 1], or 0 where count[b] is 0. */
export function selectLast(
  [y]: readonly [F64],
  [x, count]: readonly [F64, I32],
  { B, T, C }: KernelDims["selectLast"],
): void {
  for (let b = 0; b < B; b++) {
    const row = b * T + count[b]! - 1;
    for (let c = 0; c < C; c++) {
      y[b * C + c] = count[b] === 0 ? 0 : x[row * C + c]!;
    }
  }
}

/** Returns the position of row t of sequence b, at most L - 1, which padding rows would otherwise exceed. */
export function positionOf(
  start: I32 | undefined,
  { b, t, L }: { b: number; t: number; L: number },
): number {
  return Math.min(t + (start ? start[b]! : 0), L - 1);
}
