/** A linear map: y = x Wᵀ + b. */

import { expectShape, type Op, sizeOf, type Tensor } from "../tensor.ts";

interface LinearAttrs {
  readonly rows: number;
  readonly nIn: number;
  readonly nOut: number;
}

const linearOp: Op<LinearAttrs> = {
  name: "linear",
  forward({ inputs, outputs, attrs: { rows, nIn, nOut } }, emit) {
    emit({
      kernel: "matmul",
      outputs,
      inputs,
      dims: {
        form: "nt",
        M: rows,
        N: nOut,
        K: nIn,
        bias: inputs.length === 3,
        accumulate: false,
      },
    });
  },
  // dx = dy W, dW = dyᵀ x, db = the sum of dy over its rows.
  backward({ inputs, outputs, attrs: { rows, nIn, nOut } }, gradients, emit) {
    const [x, weight, bias] = inputs as [Tensor, Tensor, Tensor?];
    const dy = gradients.of(outputs[0]!);
    const { gradient: dWeight } = gradients.into(weight);
    emit({
      kernel: "matmul",
      outputs: [dWeight],
      inputs: [dy, x],
      dims: {
        form: "tn",
        M: nOut,
        N: nIn,
        K: rows,
        bias: false,
        accumulate: true,
      },
    });
    if (bias !== undefined) {
      emit({
        kernel: "columnSum",
        outputs: [gradients.into(bias).gradient],
        inputs: [dy],
        dims: { rows, N: nOut },
      });
    }
    if (gradients.needs(x)) {
      const { gradient: dx, accumulate } = gradients.into(x);
      emit({
        kernel: "matmul",
        outputs: [dx],
        inputs: [dy, weight],
        dims: { form: "nn", M: rows, N: nIn, K: nOut, bias: false, accumulate },
      });
    }
  },
};

/**
 * y = x Wᵀ + b.
 *
 * @param x (…, nIn)
 * @param weight (nOut, nIn)
 * @param bias (nOut)
 * @returns (…, nOut)
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const nIn = x.shape.at(-1)!;
  const nOut = weight.shape[0]!;
  expectShape("linear", weight, [nOut, nIn]);
  if (bias !== undefined) expectShape("linear", bias, [nOut]);
  return x.graph.apply(linearOp, {
    inputs: bias === undefined ? [x, weight] : [x, weight, bias],
    outputs: [[...x.shape.slice(0, -1), nOut]],
    attrs: { rows: sizeOf(x.shape) / nIn, nIn, nOut },
  })[0]!;
}
