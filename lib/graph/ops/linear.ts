/** The linear map y = x Wᵀ + b, optionally added to a residual stream. */

import { type KernelDims, plainProduct } from "../../../kernels/vocabulary.ts";
import {
  expectShape,
  type Op,
  sizeOf,
  type Tensor,
  type TensorDispatch,
} from "../tensor.ts";

interface LinearAttrs {
  readonly rows: number;
  readonly nIn: number;
  readonly nOut: number;
  /** True if the inputs after the weight include a bias and a residual. */
  readonly bias: boolean;
  readonly residual: boolean;
}

const linearOp: Op<LinearAttrs> = {
  name: "linear",
  forward({ inputs, outputs, attrs }, emit) {
    const { rows, nIn, nOut, bias, residual } = attrs;
    emit({
      kernel: "matmul",
      outputs,
      inputs,
      dims: {
        ...plainProduct,
        ...{ form: "nt", M: rows, N: nOut, K: nIn },
        bias,
        residual,
      },
    });
  },
  // dx = dy W, dW = dyᵀ x, db = the sum of dy over its rows; the residual's gradient is dy.
  backward({ inputs, outputs, attrs }, gradients, emit) {
    const { rows, nIn, nOut } = attrs;
    const [x, weight, ...more] = inputs as [Tensor, Tensor, ...Tensor[]];
    const bias = attrs.bias ? more[0] : undefined;
    const residual = attrs.residual ? more.at(-1) : undefined;
    const dy = gradients.of(outputs[0]!);
    emit({
      kernel: "matmul",
      outputs: [weight, bias].filter((parameter) => parameter !== undefined)
        .map((parameter) => gradients.into(parameter).gradient),
      inputs: [dy, x],
      dims: {
        ...plainProduct,
        ...{ form: "tn", M: nOut, N: nIn, K: rows },
        ...{ accumulate: true, sums: bias !== undefined },
      },
    });
    if (gradients.needs(x)) {
      const { gradient: dx, accumulate } = gradients.into(x);
      emit({
        kernel: "matmul",
        outputs: [dx],
        inputs: [dy, weight],
        dims: {
          ...plainProduct,
          ...{ form: "nn", M: rows, N: nIn, K: nOut },
          accumulate,
        },
      });
    }
    if (residual !== undefined && gradients.needs(residual)) {
      gradients.share(residual, dy);
    }
  },
};

/**
 * Computes y = x Wᵀ + b + residual.
 *
 * @param x (…, nIn)
 * @param weight (nOut, nIn)
 * @param options.bias (nOut); none by default
 * @param options.residual (…, nOut); none by default
 * @returns (…, nOut)
 */
export function linear(
  x: Tensor,
  weight: Tensor,
  { bias, residual }: {
    bias?: Tensor | undefined;
    residual?: Tensor | undefined;
  } = {},
): Tensor {
  const nIn = x.shape.at(-1)!;
  const nOut = weight.shape[0]!;
  const shape = [...x.shape.slice(0, -1), nOut];
  expectShape("linear", weight, [nOut, nIn]);
  if (bias !== undefined) expectShape("linear", bias, [nOut]);
  if (residual !== undefined) expectShape("linear", residual, shape);
  return x.graph.apply(linearOp, {
    inputs: [x, weight, bias, residual].filter((input) => input !== undefined),
    outputs: [shape],
    attrs: {
      rows: sizeOf(x.shape) / nIn,
      nIn,
      nOut,
      bias: bias !== undefined,
      residual: residual !== undefined,
    },
  })[0]!;
}

/**
 * Returns the dispatch of y = alpha · a · b + beta · residual, for each of several matrices.
 *
 * @param y (count, M, N)
 * @param inputs a, b, and the residual if there is one
 */
export function products(
  y: Tensor,
  inputs: readonly [a: Tensor, b: Tensor, residual?: Tensor],
  dims: Partial<KernelDims["matmul"]> & { readonly K: number },
): TensorDispatch {
  const [count, M, N] = y.shape as [number, number, number];
  return {
    kernel: "matmul",
    outputs: [y],
    inputs: inputs.filter((input) => input !== undefined),
    dims: {
      ...plainProduct,
      form: "nn",
      ...{ count, M, N, residual: inputs.length === 3 },
      ...dims,
    },
  };
}
