/** The table of the reference kernels, one for each name of the vocabulary. */

import type { KernelName } from "../vocabulary.ts";
import {
  activation,
  activationBackward,
  softcap,
  softcapBackward,
  swiglu,
  swigluBackward,
} from "./activation.ts";
import { attention, attentionBackward } from "./attention.ts";
import { attentionCached, cacheAppend } from "./cache.ts";
import { add, copy, dropout } from "./elementwise.ts";
import {
  embedding,
  embeddingBackward,
  positionBackward,
  selectLast,
} from "./embedding.ts";
import type { ReferenceKernel } from "./kernel.ts";
import { crossEntropy, lossSum } from "./loss.ts";
import { columnSum, matmul } from "./matmul.ts";
import {
  norm,
  normBackward,
  normBackwardWeights,
  qkNorm,
  qkNormBackward,
} from "./norm.ts";
import {
  adamw,
  clip,
  combine,
  descend,
  momentum,
  normalize,
  squareSum,
} from "./optimizer.ts";
import { rope } from "./rope.ts";

/** Every reference kernel, by its name. */
export const referenceKernels: {
  readonly [Name in KernelName]: ReferenceKernel<Name>;
} = {
  embedding,
  embeddingBackward,
  positionBackward,
  matmul,
  columnSum,
  norm,
  normBackward,
  normBackwardWeights,
  activation,
  activationBackward,
  swiglu,
  swigluBackward,
  qkNorm,
  qkNormBackward,
  rope,
  attention,
  attentionBackward,
  cacheAppend,
  attentionCached,
  selectLast,
  add,
  copy,
  dropout,
  softcap,
  softcapBackward,
  crossEntropy,
  lossSum,
  squareSum,
  clip,
  adamw,
  momentum,
  normalize,
  combine,
  descend,
};
