/** Elementwise ops: sum, dropout and softcap. */

import type { KernelDims } from "../../../kernels/vocabulary.ts";
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

const dropoutOp: Op<KernelDims["dropout"]> = {
  name: "dropout",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "dropout", outputs, inputs, dims: attrs });
  },
  backward({ inputs, outputs, attrs }, gradients, emit) {
    const [x, key, residual] = inputs as [Tensor, Tensor, Tensor?];
    const dy = gradients.of(outputs[0]!);
    emit({
      kernel: "dropout",
      outputs: [gradients.fresh(x)],
      inputs: [dy, key],
      dims: { ...attrs, residual: false },
    });
    if (residual !== undefined && gradients.needs(residual)) {
      gradients.share(residual, dy);
    }
  },
};

/**
 * Zeroes elements with probability `rate`, divides the others by 1 - rate, and adds the residual if there is one.
 * Each `site` has its own mask.
 */
export function dropout(
  x: Tensor,
  { rate, site, key, residual }: {
    rate: number;
    site: number;
    key: Tensor;
    residual?: Tensor | undefined;
  },
): Tensor {
  if (residual !== undefined) expectShape("dropout", residual, x.shape);
  return x.graph.apply(dropoutOp, {
    inputs: residual === undefined ? [x, key] : [x, key, residual],
    outputs: [x.shape],
    attrs: { n: sizeOf(x.shape), rate, site, residual: residual !== undefined },
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
