/** Reference kernels of the norm of query and key heads. */

import type { QkNormDims } from "../vocabulary.ts";
import type { F64 } from "./kernel.ts";

/** For each query and key head: y = x · r · gain, r = 1 / √(mean(x²) + eps). Values are copied; their r is 1. */
export function qkNorm(
  [y, roots]: readonly [F64, F64?],
  [qkv, qgain, kgain]: readonly [F64, F64?, F64?],
  dims: QkNormDims,
): void {
  const { HS, eps } = dims;
  y.set(qkv);
  roots?.fill(1);
  for (const { at, head, isQuery } of queryAndKeyHeads(dims)) {
    const gain = isQuery ? qgain : kgain;
    const r = reciprocalRoot(qkv, { at, HS, eps });
    for (let d = 0; d < HS; d++) y[at + d]! *= r * (gain?.[d] ?? 1);
    if (roots) roots[head] = r;
  }
}

/**
 * For each query and key head, with g = dy · gain: dx = r · (g - x̂ · mean(g · x̂)), x̂ = x · r. Values' gradients are copied.
 * The gradient of a gain is increased by Σ over rows and heads of dy · x̂.
 */
export function qkNormBackward(
  [dqkv, dqgain, dkgain]: readonly [F64, F64?, F64?],
  [dy, qkv, qgain, kgain]: readonly [F64, F64, F64?, F64?, F64?],
  dims: QkNormDims,
): void {
  const { HS, eps } = dims;
  dqkv.set(dy);
  for (const { at, isQuery } of queryAndKeyHeads(dims)) {
    const [gain, dgain] = isQuery ? [qgain, dqgain] : [kgain, dkgain];
    const g = (d: number) => dy[at + d]! * (gain?.[d] ?? 1);
    const r = reciprocalRoot(qkv, { at, HS, eps });
    let mean = 0;
    for (let d = 0; d < HS; d++) mean += g(d) * qkv[at + d]! * r / HS;
    for (let d = 0; d < HS; d++) {
      const normalised = qkv[at + d]! * r;
      dqkv[at + d] = r * (g(d) - normalised * mean);
      if (dgain) dgain[d]! += dy[at + d]! * normalised;
    }
  }
}

/** A query or key head of a row. */
interface Head {
  /** Index in qkv[rows,QKV] at which it begins. */
  readonly at: number;
  /** Its number among the heads of all rows, values included. */
  readonly head: number;
  readonly isQuery: boolean;
}

/** Yields the query and key heads of all rows. */
function* queryAndKeyHeads({ rows, NH, NKV, HS }: QkNormDims): Generator<Head> {
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < NH + NKV; i++) {
      const head = row * (NH + 2 * NKV) + i;
      yield { at: head * HS, head, isQuery: i < NH };
    }
  }
}

/** 1 / √(mean(x²) + eps) over the HS numbers from `at` on. */
function reciprocalRoot(
  x: F64,
  { at, HS, eps }: { at: number; HS: number; eps: number },
): number {
  let square = 0;
  for (let d = 0; d < HS; d++) square += x[at + d]! ** 2;
  return 1 / Math.sqrt(square / HS + eps);
}
