/** The WGSL builder of each kernel, by its name in the vocabulary. */

import type { KernelDims, KernelName } from "../vocabulary.ts";
import {
  activation,
  activationBackward,
  swiglu,
  swigluBackward,
} from "./activation.ts";
import { attention, attentionBackward } from "./attention.ts";
import { attentionCached, cacheAppend } from "./attention_cache.ts";
import { columnSum } from "./column_sum.ts";
import { add, copy, dropout, selectLast } from "./elementwise.ts";
import { embedding, embeddingBackward, positionBackward } from "./embedding.ts";
import type { Builder } from "./kernel.ts";
import { crossEntropy, lossSum, softcap, softcapBackward } from "./loss.ts";
import { matmul } from "./matmul.ts";
import { norm, normBackward, normBackwardWeights } from "./norm.ts";
import {
  adamw,
  clip,
  combine,
  descend,
  momentum,
  normalize,
  squareSum,
} from "./optimizer.ts";
import { qkNorm, qkNormBackward, rope } from "./rope.ts";

/** What makes each kernel. */
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
