/**
 * The attention kernels of a training step, forward and backward. Backward there are two
 * passes, each of which sums only for its own rows, so the order of summation is fixed. No
 * T×T array is stored: both recompute the probabilities from lse.
 */

import {
  backwardKeyValueRows,
  backwardQueryRows,
  forwardRows,
} from "./attention_rows.ts";
import {
  backwardKeyValueTiles,
  backwardQueryTiles,
} from "./attention_tiles_backward.ts";
import { forwardTiles } from "./attention_tiles_forward.ts";
import type { Builder, Target } from "./kernel.ts";
import { single } from "./pass.ts";

/** y = softmax(scores) · v, and lse. */
export const attention: Builder<"attention"> = (dims, target) =>
  single((byRows(dims, target) ? forwardRows : forwardTiles)(dims, target));

/** The gradients of the queries, and those of the keys and values, both from delta, which the first pass computes. */
export const attentionBackward: Builder<"attentionBackward"> = (
  dims,
  target,
) => {
  const { B, T, NH } = dims;
  const passes = byRows(dims, target)
    ? [backwardQueryRows(dims, target), ...backwardKeyValueRows(dims, target)]
    : [backwardQueryTiles(dims, target), backwardKeyValueTiles(dims, target)];
  return {
    passes,
    scratch: { delta: B * NH * T },
  };
};

/** Returns true if an invocation computes whole rows: on software adapters, if the rows fit in registers. */
export function byRows(
  { HS }: { readonly HS: number },
  { tiling }: Target,
): boolean {
  return tiling === "register" && HS % 4 === 0 && HS <= 64;
}
