/** Sums, copies and dropout. */

import type { KernelDims } from "../vocabulary.ts";
import { ADD, BLOCK, COPY, DROPOUT, GATHER, NOTHING } from "./codes.ts";
import { maskArguments } from "./random.ts";
import { type Address, elementwise, type Site, type Step } from "./step.ts";

/** See {@linkcode signatures.add}. */
export function add({ n }: KernelDims["add"], site: Site): Step[] {
  return elementwise(ADD, site, { n, work: n });
}

/** See {@linkcode signatures.copy}. */
export function copy({ n }: KernelDims["copy"], site: Site): Step[] {
  return elementwise(COPY, site, { n, work: n });
}

/** See {@linkcode signatures.dropout}. */
export function dropout(dims: KernelDims["dropout"], site: Site): Step[] {
  const { n } = dims;
  const [x, key, residual = NOTHING] = site.inputs as [
    ...[Address, Address],
    Address?,
  ];
  const inputs = [x, key, residual];
  const mask = maskArguments(dims);
  return elementwise(DROPOUT, { ...site, inputs }, {
    ...{ n, work: 50 * n },
    dims: mask,
  });
}

/** Returns the step of y[n] += the sum of `count` arrays, which begin `bytes` bytes apart and become 0. */
export function gather({ y, x, bytes, count, n }: {
  readonly y: Address;
  readonly x: Address;
  readonly bytes: number;
  readonly count: number;
  readonly n: number;
}): Step {
  return {
    kernel: GATHER,
    units: Math.ceil(n / BLOCK),
    args: [y, x, bytes, count, n],
    work: count * n,
  };
}
