/** The update: the norm of all gradients, clipping, AdamW. */

import type { KernelDims } from "../vocabulary.ts";
import { ADAMW, CLIP, SQUARE_SUM } from "./codes.ts";
import { bits, blocks, type Site, type Step } from "./step.ts";

/** See {@linkcode KernelDims.squareSum}. */
export function squareSum(
  { n, parts }: KernelDims["squareSum"],
  { outputs, inputs }: Site,
): Step[] {
  return [{
    kernel: SQUARE_SUM,
    units: parts,
    args: [...outputs, ...inputs, n, Math.ceil(n / parts)],
    work: n,
  }];
}

/** See {@linkcode KernelDims.clip}. */
export function clip(
  { parts, maxNorm, slots }: KernelDims["clip"],
  { outputs, inputs }: Site,
): Step[] {
  return [{
    kernel: CLIP,
    units: 1,
    args: [...outputs, ...inputs, parts, bits(maxNorm), slots],
    work: parts,
  }];
}

/** See {@linkcode KernelDims.adamw}. */
export function adamw(
  dims: KernelDims["adamw"],
  { outputs, inputs }: Site,
): Step[] {
  const { n, decayed, beta1, beta2, eps, weightDecay } = dims;
  const numbers = [beta1, 1 - beta1, beta2, 1 - beta2, eps, weightDecay];
  return [{
    kernel: ADAMW,
    units: blocks(n),
    args: [...outputs, ...inputs, n, decayed, ...numbers.map(bits)],
    work: 12 * n, // a root and a division, at the price of a few products
  }];
}
