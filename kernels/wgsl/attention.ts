/**
 * The attention kernels of a training step, forward and backward. Backward, the pass for
 * delta comes first, then two passes, each of which sums only for its own rows, so the
 * order of summation is fixed. No T×T array is stored: both recompute the probabilities
 * from lse.
 */

import type { AttentionDropoutDims } from "../vocabulary.ts";
import {
  backwardKeyValueRows,
  backwardQueryRows,
  forwardRows,
} from "./attention_rows.ts";
import { layout } from "./attention_scores.ts";
import {
  backwardKeyValueTiles,
  backwardQueryTiles,
} from "./attention_tiles_backward.ts";
import { forwardTiles } from "./attention_tiles_forward.ts";
import type { Builder, Pass, Target } from "./kernel.ts";
import {
  input,
  invocations,
  lanesOf,
  output,
  single,
  vectorOf,
} from "./pass.ts";

/** y = softmax(scores) · v, and lse. */
export const attention: Builder<"attention"> = (dims, target) =>
  single((byRows(dims, target) ? forwardRows : forwardTiles)(dims, target));

/** The gradients of the queries, and those of the keys and values, both from delta. */
export const attentionBackward: Builder<"attentionBackward"> = (
  dims,
  target,
) => {
  const { B, T, NH } = dims;
  const gradientPasses = byRows(dims, target)
    ? [backwardQueryRows, backwardKeyValueRows]
    : [backwardQueryTiles, backwardKeyValueTiles];
  return {
    passes: [deltaPass, ...gradientPasses].map((pass) => pass(dims, target)),
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

/** Returns the pass that computes delta = dy · y over each head, which both passes that write gradients read. */
function deltaPass(dims: AttentionDropoutDims, target: Target): Pass {
  const { B, T, NH, HS } = dims;
  const lanes = lanesOf(HS);
  const element = vectorOf(lanes);
  return invocations({
    target,
    parameters: [
      output("delta"),
      input("dy", element),
      input("y", element),
    ],
    count: B * NH * T,
    declarations: layout(dims, lanes),
    body: `
let bh = i / T;
let row = ((bh / NH) * T + i % T) * WIDTH + (bh % NH) * D;
var sum = 0.0f;
for (var d = 0u; d < D; d++) {
  sum += ${
      lanes === 4 ? "dot(dy[row + d], y[row + d])" : "dy[row + d] * y[row + d]"
    };
}
delta[i] = sum;`,
  });
}
