/** Layer norm and RMS norm over the last dimension of a tensor. */

import { expectShape, type Op, sizeOf, type Tensor } from "../tensor.ts";

interface NormAttrs {
  readonly kind: "layernorm" | "rmsnorm";
  readonly rows: number;
  readonly C: number;
  readonly eps: number;
}

const normOp: Op<NormAttrs> = {
  name: "norm",
  forward({ inputs, outputs, attrs }, emit) {
    emit({
      kernel: "norm",
      outputs,
      inputs,
      dims: { ...attrs, bias: inputs.length === 3 },
    });
  },
  backward({ inputs, outputs, attrs: { kind, rows, C } }, gradients, emit) {
    const [x, weight, bias] = inputs as [Tensor, Tensor, Tensor?];
    const [y, stats] = outputs as [Tensor, Tensor];
    const dy = gradients.of(y);
    const { gradient: dx, accumulate } = gradients.into(x);
    const parameters = bias === undefined ? [weight] : [weight, bias];
    emit({
      kernel: "normBackward",
      outputs: [
        dx,
        ...parameters.map((tensor) => gradients.into(tensor).gradient),
      ],
      inputs: [dy, x, weight, stats],
      dims: { kind, rows, C, bias: bias !== undefined, accumulate },
    });
  },
};

/**
 * Normalizes each row. The kernel vocabulary gives the formulas under `norm`.
 *
 * @param x (…, C)
 * @param weight (C)
 * @param bias (C), layer norm only
 * @returns (…, C)
 */
export function norm(
  x: Tensor,
  { kind, eps, weight, bias }: {
    kind: "layernorm" | "rmsnorm";
    eps: number;
    weight: Tensor;
    bias?: Tensor | undefined;
  },
): Tensor {
  const C = x.shape.at(-1)!;
  const rows = sizeOf(x.shape) / C;
  expectShape("norm", weight, [C]);
  if (bias !== undefined) expectShape("norm", bias, [C]);
  return x.graph.apply(normOp, {
    inputs: bias === undefined ? [x, weight] : [x, weight, bias],
    outputs: [x.shape, [rows, 2]],
    attrs: { kind, rows, C, eps },
  })[0]!;
}
