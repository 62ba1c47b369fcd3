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
import { attention, attentionBackward, attentionCached } from "./attention.ts";
import { cacheAppend } from "./cache.ts";
import { columnSum } from "./column_sum.ts";
import { add, copy, dropout } from "./elementwise.ts";
import {
  embedding,
  embeddingBackward,
  positionBackward,
  selectLast,
} from "./embedding.ts";
import { crossEntropy, lossSum } from "./loss.ts";
import { matmul } from "./matmul.ts";
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
import type { Builder } from "./step.ts";

/** What makes each kernel's steps. */
export const builders: {
  readonly [Name in KernelName]: Builder<KernelDims[Name]>;
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
