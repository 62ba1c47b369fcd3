/**
 * Kernels that treat every element alone and know no network: sums, copies
 * and dropout.
 */

import type { KernelDims } from "../vocabulary.ts";
import type { Builder } from "./kernel.ts";
import {
  input,
  invocations,
  lanesOf,
  output,
  single,
  vectorOf,
} from "./pass.ts";
import { dropped } from "./random.ts";

/** y = a + b. */
export const add: Builder<KernelDims["add"]> = ({ n }, target) => {
  const lanes = lanesOf(n);
  const F = vectorOf(lanes);
  return single(invocations({
    target,
    parameters: [output("y", F), input("a", F), input("b", F)],
    count: n / lanes,
    body: "y[i] = a[i] + b[i];",
  }));
};

/** y = x. */
export const copy: Builder<KernelDims["copy"]> = ({ n }, target) => {
  const lanes = lanesOf(n);
  const F = vectorOf(lanes);
  return single(invocations({
    target,
    parameters: [output("y", F), input("x", F)],
    count: n / lanes,
    body: "y[i] = x[i];",
  }));
};

/** y = x · 0 or x · 1 / (1 - rate), as the bits of each element's index say. */
export const dropout: Builder<KernelDims["dropout"]> = (
  { n, rate, site },
  target,
) => {
  const lanes = lanesOf(n);
  const F = vectorOf(lanes);
  const body = lanes === 1 ? "y[i] = x[i] * dropped(i);" : `
let index = 4u * i;
let mask = vec4f(dropped(index), dropped(index + 1u), dropped(index + 2u), dropped(index + 3u));
y[i] = x[i] * mask;`;
  return single(invocations({
    target,
    parameters: [output("y", F), input("x", F), input("key", "u32")],
    declarations: dropped({ rate, site }),
    count: n / lanes,
    body,
  }));
};
