/** The linear map y = x Wᵀ + b, optionally with an activation, or added to a residual stream. */

import {
  type Activation,
  type KernelDims,
  plainProduct,
} from "../../../kernels/vocabulary.ts";
import {
  expectShape,
  type Op,
  sizeOf,
  type Tensor,
  type TensorDispatch,
} from "../tensor.ts";

/**
 * The result of a linear map with an activation, f(y). Only a linear map can read it: the gradient of y, of which f is
 * a part, is a product's.
 */
export interface Activated {
  readonly shape: readonly number[];
  readonly activation: Activation;
  /** y */
  readonly before: Tensor;
  /** f(y) */
  readonly after: Tensor;
}

interface LinearAttrs {
  readonly rows: number;
  readonly nIn: number;
  readonly nOut: number;
  /** True if the inputs after the weight include a bias and a residual. */
  readonly bias: boolean;
  readonly residual: boolean;
  /** Activation of the result, which is a second output. */
  readonly activation: Activation | null;
  /** Activation that x is the result of, whose input is the last one of this op. */
  readonly slope: Activation | null;
}

const linearOp: Op<LinearAttrs> = {
  name: "linear",
  forward({ inputs, outputs, attrs }, emit) {
    const { rows, nIn, nOut, bias, residual, activation, slope } = attrs;
    emit({
      kernel: "matmul",
      outputs,
      inputs: slope === null ? inputs : inputs.slice(0, -1),
      dims: {
        ...plainProduct,
        ...{ form: "nt", M: rows, N: nOut, K: nIn },
        ...{ bias, residual, activation },
      },
    });
  },
  // dx = dy W, dW = dyᵀ x, db = the sum of dy over its rows; the residual's gradient is dy.
  // Where x is f(h), dh = dx · f'(h).
  backward({ inputs, outputs, attrs }, gradients, emit) {
    const { rows, nIn, nOut, slope } = attrs;
    const [x, weight, ...more] = inputs as [Tensor, Tensor, ...Tensor[]];
    const before = slope === null ? undefined : more.pop();
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
    const ofX = {
      ...plainProduct,
      form: "nn",
      M: rows,
      N: nIn,
      K: nOut,
    } as const;
    if (before !== undefined) {
      emit({
        kernel: "matmul",
        outputs: [gradients.fresh(before)],
        inputs: [dy, weight, before],
        dims: { ...ofX, slope },
      });
    } else if (gradients.needs(x)) {
      const { gradient: dx, accumulate } = gradients.into(x);
      emit({
        kernel: "matmul",
        outputs: [dx],
        inputs: [dy, weight],
        dims: { ...ofX, accumulate },
      });
    }
    if (residual !== undefined && gradients.needs(residual)) {
      gradients.share(residual, dy);
    }
  },
};

/** Optional parts of a linear map, all absent by default. */
export interface LinearParts {
  /** (nOut) */
  readonly bias?: Tensor | undefined;
  /** (…, nOut) */
  readonly residual?: Tensor | undefined;
}

/**
 * Computes y = x Wᵀ + b + residual.
 *
 * @param x (…, nIn)
 * @param weight (nOut, nIn)
 * @returns (…, nOut)
 */
export function linear(
  x: Tensor | Activated,
  weight: Tensor,
  parts: LinearParts = {},
): Tensor {
  return apply(x, weight, parts)[0]!;
}

/** Computes f(x Wᵀ + b) as {@linkcode linear} does, f being the activation. */
export function activated(
  x: Tensor,
  weight: Tensor,
  { activation, bias }: {
    readonly activation: Activation;
    readonly bias?: Tensor | undefined;
  },
): Activated {
  const [before, after] = apply(x, weight, { bias, activation }) as [
    Tensor,
    Tensor,
  ];
  return { shape: after.shape, activation, before, after };
}

function apply(
  x: Tensor | Activated,
  weight: Tensor,
  { bias, residual, activation = null }: LinearParts & {
    readonly activation?: Activation | null;
  },
): Tensor[] {
  const [input, before, slope] = "after" in x
    ? [x.after, x.before, x.activation]
    : [x, undefined, null];
  const nIn = x.shape.at(-1)!;
  const nOut = weight.shape[0]!;
  const shape = [...x.shape.slice(0, -1), nOut];
  expectShape("linear", weight, [nOut, nIn]);
  if (bias !== undefined) expectShape("linear", bias, [nOut]);
  if (residual !== undefined) expectShape("linear", residual, shape);
  return weight.graph.apply(linearOp, {
    inputs: [input, weight, bias, residual, before]
      .filter((input) => input !== undefined),
    outputs: activation === null ? [shape] : [shape, shape],
    attrs: {
      rows: sizeOf(x.shape) / nIn,
      ...{ nIn, nOut, activation, slope },
      bias: bias !== undefined,
      residual: residual !== undefined,
    },
  });
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
