/** The update: the norm of all gradients, clipping, AdamW, and the parts of SGD and Muon. */

import type { KernelDims } from "../vocabulary.ts";
import {
  ADAMW,
  CLIP,
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
  { count, n, stride, momentum, nesterov }: KernelDims["momentum"],
  site: Site,
): Step[] {
  // direction = fresh · g + kept · m, m being the new one.
  const [fresh, kept] = nesterov ? [1, momentum] : [0, 1];
  return elementwise(MOMENTUM, site, {
    ...{ count, n, work: 3 * count * n },
    dims: [stride, bits(momentum), bits(fresh), bits(kept)],
  });
}

/** See {@linkcode signatures.normalize}. */
export function normalize(
  { count, n, parts, eps }: KernelDims["normalize"],
  site: Site,
): Step[] {
  return elementwise(NORMALIZE, site, {
    ...{ count, n, work: count * n },
    dims: [parts, bits(eps)],
  });
}

/** See {@linkcode signatures.descend}. */
export function descend(
  dims: KernelDims["descend"],
  site: Site,
): Step[] {
  const { count, n, stride, decayed, rate, scale, weightDecay } = dims;
  const numbers = [rate, scale, weightDecay];
  return elementwise(DESCEND, site, {
    ...{ count, n, work: 2 * count * n },
    dims: [stride, decayed, ...numbers.map(bits)],
  });
}
