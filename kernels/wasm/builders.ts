/** What makes the steps of each kernel, by its name in the vocabulary. */

import type { KernelDims, KernelName } from "../vocabulary.ts";
import {
  activation,
  activationBackward,
  softcap,
  softcapBackward,
  swiglu,
  swigluBackward,
} from "./activation.ts";
import { add, copy, dropout } from "./elementwise.ts";
import { crossEntropy, lossSum } from "./loss.ts";
import {
  norm,
  normBackward,
  normBackwardWeights,
  qkNorm,
  qkNormBackward,
} from "./norm.ts";
import type { Builder } from "./step.ts";

/** What makes each kernel's steps. */
export const builders: {
  readonly [Name in KernelName]?: Builder<KernelDims[Name]>;
} = {
  norm,
  normBackward,
  normBackwardWeights,
  activation,
  activationBackward,
  swiglu,
  swigluBackward,
  qkNorm,
  qkNormBackward,
  add,
  copy,
  dropout,
  softcap,
  softcapBackward,
  crossEntropy,
  lossSum,
};
