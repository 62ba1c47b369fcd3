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
import { bits, blocks, type Site, type Step } from "./step.ts";

/** Room for a vector of each output. */
const SCRATCH_BYTES = 32;

/** The number of each kind. */
const kinds: Readonly<Record<Activation, number>> = {
  geluTanh: GELU_TANH,
  gelu: GELU,
  relu: RELU,
  relu2: RELU2,
};

/** Multiplications and additions of an element: an exponential and a division, or next to nothing. */
function cost(kind: Activation): number {
  return kind === "gelu" ? 32 : kind === "geluTanh" ? 20 : 2;
}

/** See {@linkcode signatures.activation}. */
export function activation(
  { kind, n }: KernelDims["activation"],
  { outputs, inputs, scratch }: Site,
): Step[] {
  scratch(SCRATCH_BYTES);
  const args = [...outputs, ...inputs, n, kinds[kind]];
  const work = cost(kind) * n;
  return [{ kernel: ACTIVATION, units: blocks(n), args, work }];
}

/** See {@linkcode signatures.activationBackward}. */
export function activationBackward(
  { kind, n }: KernelDims["activationBackward"],
  { outputs, inputs, scratch }: Site,
): Step[] {
  scratch(SCRATCH_BYTES);
  const args = [...outputs, ...inputs, n, kinds[kind]];
  const work = (cost(kind) + 6) * n;
  return [{ kernel: ACTIVATION_BACKWARD, units: blocks(n), args, work }];
}

/** See {@linkcode signatures.swiglu}. */
export function swiglu(
  { n }: KernelDims["swiglu"],
  { outputs, inputs, scratch }: Site,
): Step[] {
  scratch(SCRATCH_BYTES);
  const args = [...outputs, ...inputs, n];
  return [{ kernel: SWIGLU, units: blocks(n), args, work: 20 * n }];
}

/** See {@linkcode signatures.swigluBackward}. */
export function swigluBackward(
  { n }: KernelDims["swigluBackward"],
  { outputs, inputs, scratch }: Site,
): Step[] {
  scratch(SCRATCH_BYTES);
  const args = [...outputs, ...inputs, n];
  return [{ kernel: SWIGLU_BACKWARD, units: blocks(n), args, work: 26 * n }];
}

/** See {@linkcode signatures.softcap}. */
export function softcap(
  { n, cap }: KernelDims["softcap"],
  { outputs, inputs, scratch }: Site,
): Step[] {
  scratch(SCRATCH_BYTES);
  const args = [...outputs, ...inputs, n, bits(cap), bits(1 / cap)];
  return [{ kernel: SOFTCAP, units: blocks(n), args, work: 30 * n }];
}

/** See {@linkcode signatures.softcapBackward}. */
export function softcapBackward(
  { n, cap }: KernelDims["softcapBackward"],
  { outputs, inputs, scratch }: Site,
): Step[] {
  scratch(SCRATCH_BYTES);
  const args = [...outputs, ...inputs, n, bits(1 / cap)];
  return [{ kernel: SOFTCAP_BACKWARD, units: blocks(n), args, work: 4 * n }];
}
