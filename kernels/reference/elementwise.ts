/** Reference kernels that add and copy, and dropout with the rule that attention's dropout shares. */

import type { KernelDims } from "../vocabulary.ts";
import { Purpose, purposeKey, threefry2x32 } from "../random.ts";
import type { F64, I32 } from "./kernel.ts";

/** y = a + b. */
export function add(
  [y]: readonly [F64],
  [a, b]: readonly [F64, F64],
  { n }: KernelDims["add"],
): void {
  for (let i = 0; i < n; i++) y[i] = a[i]! + b[i]!;
}

/** y = x. */
export function copy([y]: readonly [F64], [x]: readonly [F64]): void {
  y.set(x);
}

/** y = x · factor(i) + residual, see {@linkcode dropoutFactor}. */
export function dropout(
  [y]: readonly [F64],
  [x, key, residual]: readonly [F64, I32, F64?],
  dims: KernelDims["dropout"],
): void {
  const factor = dropoutFactor(key, dims);
  for (let i = 0; i < dims.n; i++) {
    y[i] = x[i]! * factor(i) + (residual?.[i] ?? 0);
  }
}

/**
 * Returns the factor of dropout for element i: 1 / (1 - rate) if the first word of
 * Threefry(key (seed, 3 | site << 8), counter (i, key[1])) reaches ⌊rate · 2³²⌋, else 0.
 */
export function dropoutFactor(
  key: I32,
  { rate, site }: { rate: number; site: number },
): (index: number) => number {
  const threshold = Math.floor(rate * 2 ** 32);
  const words = new Uint32Array(2);
  const purpose = purposeKey(Purpose.dropout, site);
  return (index) => {
    threefry2x32(key[0]!, purpose, index, key[1]!, words);
    return words[0]! >= threshold ? 1 / (1 - rate) : 0;
  };
}
