/** What makes the steps of each kernel, by its name in the vocabulary. */

import type { KernelDims, KernelName } from "../vocabulary.ts";
import { attention, attentionBackward, attentionCached } from "./attention.ts";
import { cacheAppend } from "./cache.ts";
import { columnSum } from "./column_sum.ts";
import { add, copy } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import {
  embedding,
  embeddingBackward,
  positionBackward,
  selectLast,
} from "./embedding.ts";
import { adamw, clip, squareSum } from "./optimizer.ts";
import { rope } from "./rope.ts";
import type { Builder } from "./step.ts";

/** What makes each kernel's steps. */
export const builders: {
  readonly [Name in KernelName]?: Builder<KernelDims[Name]>;
} = {
  add,
  copy,
  matmul,
  embedding,
  embeddingBackward,
  positionBackward,
  selectLast,
  columnSum,
  rope,
  attention,
  attentionBackward,
  cacheAppend,
  attentionCached,
  squareSum,
  clip,
  adamw,
};
