/** Cross-entropy, fused with its gradient, and the sum of losses over a batch. */

import { expectShape, type Op, sizeOf, type Tensor } from "../tensor.ts";

interface CrossEntropyAttrs {
  readonly rows: number;
  readonly V: number;
  readonly smoothing: number;
  readonly gradientScale: number;
}

const crossEntropyOp: Op<CrossEntropyAttrs> = {
  name: "crossEntropy",
  forward({ inputs, outputs, attrs }, emit) {
    emit({
      kernel: "crossEntropy",
      outputs,
      inputs,
      dims: { ...attrs, gradient: outputs.length === 2 },
    });
  },
  backward({ inputs, outputs }, gradients) {
    gradients.share(inputs[0]!, outputs[1]!);
  },
};

/**
 * Computes the loss of each row in nats: -(1 - s) log p[target] - (s / V) Σ log p.
 *
 * @param logits (…, V)
 * @param targets i32, one per row; a row with target -1 has loss 0
 * @param options.smoothing label smoothing s
 * @param options.gradientScale weight of the loss in the objective; without it no gradient is computed
 * @returns one loss per row
 */
export function crossEntropy(
  logits: Tensor,
  targets: Tensor,
  { smoothing, gradientScale }: {
    smoothing: number;
    gradientScale?: number | undefined;
  },
): Tensor {
  const V = logits.shape.at(-1)!;
  const rows = sizeOf(logits.shape) / V;
  expectShape("crossEntropy", targets, logits.shape.slice(0, -1));
  return logits.graph.apply(crossEntropyOp, {
    inputs: [logits, targets],
    outputs: gradientScale === undefined ? [[rows]] : [[rows], logits.shape],
    attrs: { rows, V, smoothing, gradientScale: gradientScale ?? 0 },
  })[0]!;
}

interface LossSumAttrs {
  readonly rows: number;
  readonly scale: number;
  readonly slots: number;
  readonly accumulate: boolean;
}

const lossSumOp: Op<LossSumAttrs> = {
  name: "lossSum",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "lossSum", outputs, inputs, dims: attrs });
  },
};

/**
 * Adds up row losses into the slot of `total` that `key` selects.
 *
 * @param rowLoss (rows)
 * @param options.total a store (slots)
 * @param options.key (4), i32
 */
export function lossSum(
  rowLoss: Tensor,
  { total, key, scale, accumulate }: {
    total: Tensor;
    key: Tensor;
    scale: number;
    accumulate: boolean;
  },
): void {
  const [rows] = rowLoss.shape as [number];
  const [slots] = total.shape as [number];
  rowLoss.graph.apply(lossSumOp, {
    inputs: [rowLoss, key],
    outputs: [total],
    attrs: { rows, scale, slots, accumulate },
  });
}
