/** The update: the norm of all gradients, clipping, AdamW, and the parts of SGD and Muon. */

import type { KernelDims } from "../vocabulary.ts";
import {
  ADAMW,
  CLIP,
  COMBINE,
  DESCEND,
  MOMENTUM,
  NORMALIZE,
  SQUARE_SUM,
} from "./codes.ts";
import { bits, blocks, type Site, type Step } from "./step.ts";

/** See {@linkcode signatures.squareSum}. */
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

/** See {@linkcode signatures.clip}. */
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

/** See {@linkcode signatures.adamw}. */
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

/** See {@linkcode signatures.momentum}. */
export function momentum(
  { n, momentum, nesterov }: KernelDims["momentum"],
  { outputs, inputs }: Site,
): Step[] {
  // direction = fresh · g + kept · m, m being the new one.
  const [fresh, kept] = nesterov ? [1, momentum] : [0, 1];
  return [{
    kernel: MOMENTUM,
    units: blocks(n),
    args: [...outputs, ...inputs, n, bits(momentum), bits(fresh), bits(kept)],
    work: 3 * n,
  }];
}

/** See {@linkcode signatures.normalize}. */
export function normalize(
  { n, parts, eps }: KernelDims["normalize"],
  { outputs, inputs }: Site,
): Step[] {
  return [{
    kernel: NORMALIZE,
    units: blocks(n),
    args: [...outputs, ...inputs, n, parts, bits(eps)],
    work: n,
  }];
}

/** See {@linkcode signatures.combine}. */
export function combine(
  { n, alpha, beta }: KernelDims["combine"],
  { outputs, inputs }: Site,
): Step[] {
  return [{
    kernel: COMBINE,
    units: blocks(n),
    args: [...outputs, ...inputs, n, bits(alpha), bits(beta)],
    work: n,
  }];
}

/** See {@linkcode signatures.descend}. */
export function descend(
  { n, decayed, rate, scale, weightDecay }: KernelDims["descend"],
  { outputs, inputs }: Site,
): Step[] {
  const numbers = [rate, scale, weightDecay];
  return [{
    kernel: DESCEND,
    units: blocks(n),
    args: [...outputs, ...inputs, n, decayed, ...numbers.map(bits)],
    work: 2 * n,
  }];
}
