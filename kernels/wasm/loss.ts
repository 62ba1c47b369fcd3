/** The loss and its sum. */

import type { KernelDims } from "../vocabulary.ts";
import { CROSS_ENTROPY, LOSS_SUM } from "./codes.ts";
import { bits, rowBlocks, type Site, type Step } from "./step.ts";

/** See {@linkcode signatures.crossEntropy}. */
export function crossEntropy(
  { rows, V, smoothing, gradientScale }: KernelDims["crossEntropy"],
  { outputs: [rowLoss, dlogits = 0], inputs }: Site,
): Step[] {
  const { units, perUnit } = rowBlocks(rows, V);
  const dims = [rows, V, perUnit, bits(smoothing), bits(gradientScale)];
  const args = [rowLoss!, dlogits, ...inputs, ...dims];
  return [{ kernel: CROSS_ENTROPY, units, args, work: rows * (20 * V + 100) }];
}

/** See {@linkcode signatures.lossSum}. */
export function lossSum(
  { rows, scale, accumulate }: KernelDims["lossSum"],
  { outputs, inputs }: Site,
): Step[] {
  const args = [...outputs, ...inputs, rows, bits(scale), accumulate ? 1 : 0];
  return [{ kernel: LOSS_SUM, units: 1, args, work: rows }];
}
