/** The gated activation of the MLP. The others are part of a linear map: `linear.ts`. */

import { expectShape, type Op, sizeOf, type Tensor } from "../tensor.ts";

const swigluOp: Op<{ n: number }> = {
  name: "swiglu",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "swiglu", outputs, inputs, dims: attrs });
  },
  backward({ inputs, outputs, attrs }, gradients, emit) {
    const [gate, x] = inputs as [Tensor, Tensor];
    emit({
      kernel: "swigluBackward",
      outputs: [gradients.fresh(gate), gradients.fresh(x)],
      inputs: [gradients.of(outputs[0]!), gate, x],
      dims: attrs,
    });
  },
};

/** Computes silu(gate) · x, elementwise (arXiv 2002.05202). */
export function swiglu(gate: Tensor, x: Tensor): Tensor {
  expectShape("swiglu", gate, x.shape);
  return x.graph.apply(swigluOp, {
    inputs: [gate, x],
    outputs: [x.shape],
    attrs: { n: sizeOf(x.shape) },
  })[0]!;
}
