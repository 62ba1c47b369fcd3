/** Sums, copies and dropout. */

import type { KernelDims } from "../vocabulary.ts";
import { ADD, COPY, DROPOUT } from "./codes.ts";
import { maskArguments } from "./random.ts";
import { blocks, type Site, type Step } from "./step.ts";

/** See {@linkcode signatures.add}. */
export function add(
  { n }: KernelDims["add"],
  { outputs, inputs }: Site,
): Step[] {
  const args = [...outputs, ...inputs, n];
  return [{ kernel: ADD, units: blocks(n), args, work: n }];
}

/** See {@linkcode signatures.copy}. */
export function copy(
  { n }: KernelDims["copy"],
  { outputs, inputs }: Site,
): Step[] {
  const args = [...outputs, ...inputs, n];
  return [{ kernel: COPY, units: blocks(n), args, work: n }];
}

/** See {@linkcode signatures.dropout}. */
export function dropout(
  { n, rate, site }: KernelDims["dropout"],
  { outputs, inputs }: Site,
): Step[] {
  const args = [...outputs, ...inputs, n, ...maskArguments({ rate, site })];
  return [{ kernel: DROPOUT, units: blocks(n), args, work: 50 * n }];
}
