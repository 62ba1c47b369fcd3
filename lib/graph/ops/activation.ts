/** Elementwise activations of the MLP. */

import type { Activation } from "../../../kernels/vocabulary.ts";
import { expectShape, type Op, sizeOf, type Tensor } from "../tensor.ts";

const activationOp: Op<{ kind: Activation; n: number }> = {
  name: "activation",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "activation", outputs, inputs, dims: attrs });
  },
  backward({ inputs, outputs, attrs }, gradients, emit) {
    const [x] = inputs as [Tensor];
    emit({
      kernel: "activationBackward",
      outputs: [gradients.fresh(x)],
      inputs: [gradients.of(outputs[0]!), x],
      dims: attrs,
    });
  },
};

/** Applies GELU, ReLU or ReLU² to each element. */
export function activation(x: Tensor, kind: Activation): Tensor {
  return x.graph.apply(activationOp, {
    inputs: [x],
    outputs: [x.shape],
    attrs: { kind, n: sizeOf(x.shape) },
  })[0]!;
}

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
