/**
 * Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): orthogonalizes the momentum
 * of each matrix approximately before the step. It uses the same matrix products as the model.
 */

import type { TrainConfig } from "../config/train.ts";
import type { LayoutEntry } from "../graph/layout.ts";
import type { Graph, Tensor, TensorDispatch } from "../graph/tensor.ts";

/** Returns whether Muon updates a parameter: whether it is a matrix of a block. */
export function isHiddenMatrix({ name, shape }: LayoutEntry): boolean {
  return shape.length === 2 && name.startsWith("h.");
}

/** Inputs of an update besides gradients. */
export interface UpdateInputs {
  readonly clip: Tensor;
  readonly schedule: Tensor;
}

/** Steps of the iteration, after which singular values are between about 0.7 and 1.2. */
const ITERATIONS = 5;

/** Coefficients of X ← aX + (bA + cA²)X, A = XXᵀ, chosen for a steep slope at 0 rather than convergence to 1. */
const [a, b, c] = [3.4445, -4.775, 2.0315] as const;

/** Added to the norm, so that an all-zero gradient does not divide by 0. */
const EPS = 1e-7;

/**
 * Returns the update of one matrix: W -= lr (weightDecay · W + √max(1, rows / columns) · orthogonal(momentum)).
 * `c_attn`, which contains queries, keys and values, counts as one matrix.
 */
export function muon(
  graph: Graph,
  entry: LayoutEntry,
  { config, clip, schedule }: UpdateInputs & { readonly config: TrainConfig },
): TensorDispatch[] {
  const [rows, columns] = entry.shape as [number, number];
  const n = entry.length;
  const [params, grads, m] = ["params", "grads", "m"].map((store) =>
    graph.range(store, entry)
  ) as [Tensor, Tensor, Tensor];
  const direction = graph.activation([rows, columns]);
  const { momentum, weightDecay, learningRate, muonLearningRate } = config;
  const orthogonal = orthogonalize(graph, direction);
  return [
    {
      kernel: "momentum",
      outputs: [direction, grads, m],
      inputs: [clip],
      dims: { n, momentum, nesterov: true },
    },
    ...orthogonal.dispatches,
    {
      kernel: "descend",
      outputs: [params],
      inputs: [orthogonal.result, clip, schedule],
      dims: {
        n,
        decayed: n,
        rate: muonLearningRate / learningRate,
        scale: Math.sqrt(Math.max(1, rows / columns)),
        weightDecay,
      },
    },
  ];
}

/**
 * Approximates UVᵀ for a matrix UΣVᵀ with a Newton-Schulz iteration on the Gram matrix of the
 * shorter side.
 */
export function orthogonalize(
  graph: Graph,
  matrix: Tensor,
): { readonly result: Tensor; readonly dispatches: TensorDispatch[] } {
  const [rows, columns] = matrix.shape as [number, number];
  const side = Math.min(rows, columns);
  const n = rows * columns;
  const parts = Math.min(64, Math.ceil(n / 1024));
  const partial = graph.activation([parts]);
  let x = graph.activation([rows, columns]);
  const dispatches: TensorDispatch[] = [
    {
      kernel: "squareSum",
      outputs: [partial],
      inputs: [matrix],
      dims: { n, parts },
    },
    {
      kernel: "normalize",
      outputs: [x],
      inputs: [matrix, partial],
      dims: { n, parts, eps: EPS },
    },
  ];
  const wide = rows <= columns;
  const small = [side, side] as const;
  for (let i = 0; i < ITERATIONS; i++) {
    const gram = graph.activation(small);
    const square = graph.activation(small);
    const factor = graph.activation(small);
    const product = graph.activation([rows, columns]);
    const next = graph.activation([rows, columns]);
    dispatches.push(
      // XXᵀ or XᵀX, whichever is smaller.
      multiply(wide ? "nt" : "tn", gram, [x, x], Math.max(rows, columns)),
      multiply("nn", square, [gram, gram], side),
      combine(factor, [b, gram], [c, square]),
      multiply("nn", product, wide ? [factor, x] : [x, factor], side),
      combine(next, [a, x], [1, product]),
    );
    x = next;
  }
  return { result: x, dispatches };
}

function multiply(
  form: "nt" | "nn" | "tn",
  y: Tensor,
  factors: readonly [Tensor, Tensor],
  K: number,
): TensorDispatch {
  const [M, N] = y.shape as [number, number];
  const plain = { bias: false, residual: false, accumulate: false };
  return {
    kernel: "matmul",
    outputs: [y],
    inputs: factors,
    dims: { form, M, N, K, ...plain },
  };
}

function combine(
  y: Tensor,
  [alpha, first]: readonly [number, Tensor],
  [beta, second]: readonly [number, Tensor],
): TensorDispatch {
  const n = y.shape[0]! * y.shape[1]!;
  return {
    kernel: "combine",
    outputs: [y],
    inputs: [first, second],
    dims: { n, alpha, beta },
  };
}
