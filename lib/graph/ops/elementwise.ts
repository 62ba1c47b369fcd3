/** Elementwise ops: sum, dropout and softcap. */

import { expectShape, type Op, sizeOf, type Tensor } from "../tensor.ts";

const addOp: Op<{ n: number }> = {
  name: "add",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "add", outputs, inputs, dims: attrs });
  },
  backward({ inputs, outputs }, gradients) {
    const dy = gradients.of(outputs[0]!);
    for (const input of inputs) {
      if (gradients.needs(input)) gradients.share(input, dy);
    }
  },
};

/** Computes a + b; both have the same shape. */
export function add(a: Tensor, b: Tensor): Tensor {
  expectShape("add", b, a.shape);
  return a.graph.apply(addOp, {
    inputs: [a, b],
    outputs: [a.shape],
    attrs: { n: sizeOf(a.shape) },
  })[0]!;
}

const dropoutOp: Op<{ n: number; rate: number; site: number }> = {
  name: "dropout",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "dropout", outputs, inputs, dims: attrs });
  },
  backward({ inputs, outputs, attrs }, gradients, emit) {
    const [x, key] = inputs as [Tensor, Tensor];
    emit({
      kernel: "dropout",
      outputs: [gradients.fresh(x)],
      inputs: [gradients.of(outputs[0]!), key],
      dims: attrs,
    });
  },
};

/** Zeroes elements with probability `rate` and divides the others by 1 - rate. Each `site` has its own mask. */
export function dropout(
  x: Tensor,
  { rate, site, key }: { rate: number; site: number; key: Tensor },
): Tensor {
  return x.graph.apply(dropoutOp, {
    inputs: [x, key],
    outputs: [x.shape],
    attrs: { n: sizeOf(x.shape), rate, site },
  })[0]!;
}

const softcapOp: Op<{ n: number; cap: number }> = {
  name: "softcap",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "softcap", outputs, inputs, dims: attrs });
  },
  backward({ inputs, outputs, attrs }, gradients, emit) {
    const [y] = outputs as [Tensor];
    emit({
      kernel: "softcapBackward",
      outputs: [gradients.fresh(inputs[0]!)],
      inputs: [gradients.of(y), y],
      dims: attrs,
    });
  },
};

/** Computes cap · tanh(x / cap). */
export function softcap(x: Tensor, cap: number): Tensor {
  return x.graph.apply(softcapOp, {
    inputs: [x],
    outputs: [x.shape],
    attrs: { n: sizeOf(x.shape), cap },
  })[0]!;
}
