/** Norms of rows. */

import type { KernelDims } from "../vocabulary.ts";
import {
  COLUMNS,
  NORM,
  NORM_BACKWARD,
  NORM_BACKWARD_WEIGHTS,
} from "./codes.ts";
import { type Address, bits, rowBlocks, type Site, type Step } from "./step.ts";

/** The address that stands for an absent operand. */
const NONE: Address = 0;

/** See {@linkcode signatures.norm}. */
export function norm(
  { kind, rows, C, eps }: KernelDims["norm"],
  { outputs, inputs: [x, weight, bias = NONE] }: Site,
): Step[] {
  const { units, perUnit } = rowBlocks(rows, C);
  const dims = [rows, C, perUnit, bits(eps), kind === "layernorm" ? 1 : 0];
  const args = [...outputs, x!, weight!, bias, ...dims];
  return [{ kernel: NORM, units, args, work: rows * (6 * C + 50) }];
}

/** See {@linkcode signatures.normBackward}. */
export function normBackward(
  { kind, rows, C, accumulate }: KernelDims["normBackward"],
  { outputs, inputs }: Site,
): Step[] {
  const [dx, dweight, dbias = NONE] = outputs as [Address, Address, Address?];
  const [dy, x, weight, stats] = inputs as [Address, Address, Address, Address];
  const { units, perUnit } = rowBlocks(rows, C);
  const flags = [kind === "layernorm" ? 1 : 0, accumulate ? 1 : 0];
  return [{
    kernel: NORM_BACKWARD_WEIGHTS,
    units: Math.ceil(C / COLUMNS),
    args: [dweight, dbias, dy, x, stats, rows, C],
    work: 5 * rows * C,
  }, {
    kernel: NORM_BACKWARD,
    units,
    args: [dx, dy, x, weight, stats, rows, C, perUnit, ...flags],
    work: rows * (9 * C + 50),
  }];
}
