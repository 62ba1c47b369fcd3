/** Sums and copies. */

import type { KernelDims } from "../vocabulary.ts";
import { ADD, COPY } from "./codes.ts";
import { blocks, type Site, type Step } from "./step.ts";

/** See {@linkcode KernelDims.add}. */
export function add(
  { n }: KernelDims["add"],
  { outputs, inputs }: Site,
): Step[] {
  const args = [...outputs, ...inputs, n];
  return [{ kernel: ADD, units: blocks(n), args, work: n }];
}

/** See {@linkcode KernelDims.copy}. */
export function copy(
  { n }: KernelDims["copy"],
  { outputs, inputs }: Site,
): Step[] {
  const args = [...outputs, ...inputs, n];
  return [{ kernel: COPY, units: blocks(n), args, work: n }];
}
