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
import { bits, elementwise, type Site, type Step } from "./step.ts";

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
export function adamw(dims: KernelDims["adamw"], site: Site): Step[] {
  const { n, decayed, beta1, beta2, eps, weightDecay } = dims;
  const numbers = [beta1, 1 - beta1, beta2, 1 - beta2, eps, weightDecay];
  // A root and a division, at the price of a few products.
  return elementwise(ADAMW, site, {
    n,
    work: 12 * n,
    dims: [decayed, ...numbers.map(bits)],
  });
}

/** See {@linkcode signatures.momentum}. */
export function momentum(
  { n, momentum, nesterov }: KernelDims["momentum"],
  site: Site,
): Step[] {
  // direction = fresh · g + kept · m, m being the new one.
  const [fresh, kept] = nesterov ? [1, momentum] : [0, 1];
  return elementwise(MOMENTUM, site, {
    n,
    work: 3 * n,
    dims: [bits(momentum), bits(fresh), bits(kept)],
  });
}

/** See {@linkcode signatures.normalize}. */
export function normalize(
  { n, parts, eps }: KernelDims["normalize"],
  site: Site,
): Step[] {
  return elementwise(NORMALIZE, site, { n, work: n, dims: [parts, bits(eps)] });
}

/** See {@linkcode signatures.combine}. */
export function combine(
  { n, alpha, beta }: KernelDims["combine"],
  site: Site,
): Step[] {
  return elementwise(COMBINE, site, {
    n,
    work: n,
    dims: [bits(alpha), bits(beta)],
  });
}

/** See {@linkcode signatures.descend}. */
export function descend(
  { n, decayed, rate, scale, weightDecay }: KernelDims["descend"],
  site: Site,
): Step[] {
  const numbers = [rate, scale, weightDecay];
  return elementwise(DESCEND, site, {
    n,
    work: 2 * n,
    dims: [decayed, ...numbers.map(bits)],
  });
}
