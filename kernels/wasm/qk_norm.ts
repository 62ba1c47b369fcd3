/** The norm of query and key heads. */

import type { QkNormDims } from "../vocabulary.ts";
import {
  COLUMNS,
  QK_NORM,
  QK_NORM_BACKWARD,
  QK_NORM_BACKWARD_GAINS,
} from "./codes.ts";
import { type Address, bits, rowBlocks, type Site, type Step } from "./step.ts";

/** The address that stands for an absent operand. */
const NONE: Address = 0;

/** See {@linkcode signatures.qkNorm}. */
export function qkNorm(
  dims: QkNormDims,
  { outputs: [y, roots = NONE], inputs: [qkv, qgain = NONE, kgain = NONE] }:
    Site,
): Step[] {
  return [{
    ...headsOf(dims, [y!, roots, qkv!, qgain, kgain]),
    kernel: QK_NORM,
  }];
}

/** See {@linkcode signatures.qkNormBackward}. */
export function qkNormBackward(
  dims: QkNormDims,
  { outputs: [dqkv, ...gradients], inputs: [dy, qkv, ...gains] }: Site,
): Step[] {
  const [qgain = NONE, kgain = NONE, roots] = gains;
  const step = headsOf(dims, [dqkv!, dy!, qkv!, qgain, kgain]);
  const ofHeads = { ...step, kernel: QK_NORM_BACKWARD, work: 2 * step.work };
  if (roots === undefined) return [ofHeads];
  const { rows, NH, NKV, HS } = dims;
  return [{
    kernel: QK_NORM_BACKWARD_GAINS,
    units: 2 * Math.ceil(HS / COLUMNS),
    args: [...gradients, dy!, qkv!, roots, rows, NH, NKV, HS],
    work: 3 * rows * (NH + NKV) * HS,
  }, ofHeads];
}

/** Returns the step of `qkNorm`, or `qkNormBackward`, without its kernel. */
function headsOf(
  { rows, NH, NKV, HS, eps }: QkNormDims,
  operands: readonly Address[],
): Omit<Step, "kernel"> {
  const QKV = (NH + 2 * NKV) * HS;
  const { units, perUnit } = rowBlocks(rows, QKV);
  const args = [...operands, rows, NH, NKV, HS, perUnit, bits(eps)];
  return { units, args, work: rows * (3 * QKV + 50 * (NH + NKV)) };
}
