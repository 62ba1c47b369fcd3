/**
 * The attention kernels of a training step: forward, and backward in two parts, each
 * of which sums for its own rows alone, so that nothing is added up by chance. No T×T
 * array is stored: the backward kernels make the probabilities again from lse.
 */

import type { AttentionDropoutDims, KernelDims } from "../vocabulary.ts";
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
export const attention: Builder<KernelDims["attention"]> = (dims, target) =>
  single((byRows(dims, target) ? forwardRows : forwardTiles)(dims, target));

/** The gradient of the queries, and delta. */
export const attentionBackwardQuery: Builder<
  KernelDims["attentionBackwardQuery"]
> = (dims, target) => {
  const pass = byRows(dims, target) ? backwardQueryRows : backwardQueryTiles;
  return {
    passes: [deltaPass(dims, target), pass(dims, target)],
    scratch: [],
  };
};

/** The gradients of the keys and values. */
export const attentionBackwardKeyValue: Builder<
  KernelDims["attentionBackwardKeyValue"]
> = (dims, target) => {
  const pass = byRows(dims, target)
    ? backwardKeyValueRows
    : backwardKeyValueTiles;
  return single(pass(dims, target));
};

/** Whether an invocation does whole rows: on software adapters, where they fit in registers. */
export function byRows(
  { HS }: { readonly HS: number },
  { tiling }: Target,
): boolean {
  return tiling === "register" && HS % 4 === 0 && HS <= 64;
}

/** delta = dy · y over each head, where the query pass and, later, the key and value pass find it. */
function deltaPass(dims: AttentionDropoutDims, target: Target): Pass {
  const { B, T, NH, HS } = dims;
  const lanes = lanesOf(HS);
  const element = vectorOf(lanes);
  return invocations({
    target,
    parameters: [
      output(1, "delta"),
      input(2, "dy", element),
      input(3, "y", element),
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
