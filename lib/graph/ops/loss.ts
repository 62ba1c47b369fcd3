/** Cross-entropy, fused with its gradient, and its sum over a batch. */

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
 * The loss of each row, in nats: -(1 - s) log p[target] - (s / V) Σ log p.
 *
 * @param logits (…, V)
 * @param targets i32, one per row; -1: the row has no target and no loss
 * @param options.smoothing s
 * @param options.gradientScale the loss's weight in what is minimized; absent: no gradient is computed
 * @returns one number per row
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
 * Sums row losses into one slot of `total`, which `key` names.
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
