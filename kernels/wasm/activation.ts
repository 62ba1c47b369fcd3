/** Activations, SwiGLU and the logit softcap. */

import type { Activation, KernelDims } from "../vocabulary.ts";
import {
  ACTIVATION,
  ACTIVATION_BACKWARD,
  GELU,
  GELU_TANH,
  RELU,
  RELU2,
  SOFTCAP,
  SOFTCAP_BACKWARD,
  SWIGLU,
  SWIGLU_BACKWARD,
} from "./codes.ts";
import {
  type Address,
  bits,
  elementwise,
  type Site,
  type Step,
} from "./step.ts";

/** Bytes for one vector of each output. */
const SCRATCH_BYTES = 32;

/** The number of each kind. */
export const kinds: Readonly<Record<Activation, number>> = {
  geluTanh: GELU_TANH,
  gelu: GELU,
  relu: RELU,
  relu2: RELU2,
};

/** Returns the multiplications and additions per element: those of an exponential and a division, or very few. */
function cost(kind: Activation): number {
  return kind === "gelu" ? 32 : kind === "geluTanh" ? 20 : 2;
}

/** Returns the steps of z[n] = f(y). */
export function activationSteps(
  kind: Activation,
  { z, y, n }: { readonly z: Address; readonly y: Address; readonly n: number },
  site: Site,
): Step[] {
  site.scratch(SCRATCH_BYTES);
  return elementwise(ACTIVATION, { ...site, outputs: [z], inputs: [y] }, {
    ...{ n, work: cost(kind) * n },
    dims: [kinds[kind]],
  });
}

/** Returns the steps of y[n] = y · f'(x). */
export function slopeSteps(
  kind: Activation,
  { y, x, n }: { readonly y: Address; readonly x: Address; readonly n: number },
  site: Site,
): Step[] {
  site.scratch(SCRATCH_BYTES);
  return elementwise(
    ACTIVATION_BACKWARD,
    { ...site, outputs: [y], inputs: [y, x] },
    { n, work: (cost(kind) + 6) * n, dims: [kinds[kind]] },
  );
}

/** See {@linkcode signatures.swiglu}. */
export function swiglu({ n }: KernelDims["swiglu"], site: Site): Step[] {
  site.scratch(SCRATCH_BYTES);
  return elementwise(SWIGLU, site, { n, work: 20 * n });
}

/** See {@linkcode signatures.swigluBackward}. */
export function swigluBackward(
  { n }: KernelDims["swigluBackward"],
  site: Site,
): Step[] {
  site.scratch(SCRATCH_BYTES);
  return elementwise(SWIGLU_BACKWARD, site, { n, work: 26 * n });
}

/** See {@linkcode signatures.softcap}. */
export function softcap({ n, cap }: KernelDims["softcap"], site: Site): Step[] {
  site.scratch(SCRATCH_BYTES);
  return elementwise(SOFTCAP, site, {
    n,
    work: 30 * n,
    dims: [bits(cap), bits(1 / cap)],
  });
}

/** See {@linkcode signatures.softcapBackward}. */
export function softcapBackward(
  { n, cap }: KernelDims["softcapBackward"],
  site: Site,
): Step[] {
  site.scratch(SCRATCH_BYTES);
  return elementwise(SOFTCAP_BACKWARD, site, {
    n,
    work: 4 * n,
    dims: [bits(1 / cap)],
  });
}
