/**
 * Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): orthogonalizes the momentum
 * of each matrix approximately before the step. It uses the same matrix products as the model,
 * over all layers at once.
 */

import type { TrainConfig } from "../config/train.ts";
import type { LayoutEntry, ParameterLayout } from "../graph/layout.ts";
import { products } from "../graph/ops/linear.ts";
import type { Graph, Tensor, TensorDispatch } from "../graph/tensor.ts";

/** Returns whether Muon updates a parameter: whether it is a matrix of a block. */
export function isHiddenMatrix({ name, shape }: LayoutEntry): boolean {
  return shape.length === 2 && name.startsWith("h.");
}

/** The matrices of one name in several layers, which have one shape and are equally far apart in the stores. */
export interface MatrixBatch {
  readonly rows: number;
  readonly columns: number;
  readonly count: number;
  /** Offset of the first matrix in the stores, in elements. */
  readonly offset: number;
  /** Elements from the beginning of a matrix to that of the next; 0 for a single one. */
  readonly stride: number;
}

/** The most elements of a store that a batch spans: 128 MiB, which every WebGPU adapter binds. */
const LONGEST_SPAN = 2 ** 25;

/** Returns the batches of Muon's matrices: `c_attn` of all layers, `c_proj` of all, and so on, in parts where a store is too long. */
export function batches({ entries }: ParameterLayout): MatrixBatch[] {
  const named = Map.groupBy(
    entries.filter(isHiddenMatrix),
    ({ name }) => name.replace(/^h\.\d+\./, ""),
  );
  return [...named.values()].flatMap((entries) => {
    const [{ shape, length, offset }, second] = entries as [
      LayoutEntry,
      LayoutEntry?,
    ];
    const [rows, columns] = shape as [number, number];
    const stride = second === undefined ? 0 : second.offset - offset;
    const most = stride === 0
      ? 1
      : 1 + Math.max(0, Math.floor((LONGEST_SPAN - length) / stride));
    return Array.from(
      { length: Math.ceil(entries.length / most) },
      (_, part) => ({
        ...{ rows, columns, stride },
        count: Math.min(most, entries.length - part * most),
        offset: offset + part * most * stride,
      }),
    );
  });
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
 * Returns the update of a batch of matrices: W -= lr (weightDecay · W + √max(1, rows / columns) · orthogonal(momentum)).
 * `c_attn`, which contains queries, keys and values, counts as one matrix.
 */
export function muon(
  graph: Graph,
  { rows, columns, count, offset, stride }: MatrixBatch,
  { config, clip, schedule }: UpdateInputs & { readonly config: TrainConfig },
): TensorDispatch[] {
  const n = rows * columns;
  const span = { offset, length: (count - 1) * stride + n };
  const [params, grads, m] = ["params", "grads", "m"].map((store) =>
    graph.range(store, span)
  ) as [Tensor, Tensor, Tensor];
  const direction = graph.activation([count, rows, columns]);
  const { momentum, weightDecay, learningRate, muonLearningRate } = config;
  const orthogonal = orthogonalize(graph, direction);
  const arrays = { count, n, stride };
  return [
    {
      kernel: "momentum",
      outputs: [direction, grads, m],
      inputs: [clip],
      dims: { ...arrays, momentum, nesterov: true },
    },
    ...orthogonal.dispatches,
    {
      kernel: "descend",
      outputs: [params],
      inputs: [orthogonal.result, clip, schedule],
      dims: {
        ...arrays,
        decayed: n,
        rate: muonLearningRate / learningRate,
        scale: Math.sqrt(Math.max(1, rows / columns)),
        weightDecay,
      },
    },
  ];
}

/**
 * Approximates UVᵀ for each matrix UΣVᵀ with a Newton-Schulz iteration on the Gram matrix of the
 * shorter side.
 *
 * @param matrices (count, rows, columns)
 */
export function orthogonalize(
  graph: Graph,
  matrices: Tensor,
): { readonly result: Tensor; readonly dispatches: TensorDispatch[] } {
  const [count, rows, columns] = matrices.shape as [number, number, number];
  const side = Math.min(rows, columns);
  const n = rows * columns;
  const parts = partsOf(n);
  const partial = graph.activation([count, parts]);
  let x = graph.activation(matrices.shape);
  const dispatches: TensorDispatch[] = [
    {
      kernel: "squareSum",
      outputs: [partial],
      inputs: [matrices],
      dims: { n: count * n, parts: count * parts },
    },
    {
      kernel: "normalize",
      outputs: [x],
      inputs: [matrices, partial],
      dims: { count, n, parts, eps: EPS },
    },
  ];
  const wide = rows <= columns;
  const small = [count, side, side] as const;
  for (let i = 0; i < ITERATIONS; i++) {
    const gram = graph.activation(small); // A: XXᵀ or XᵀX, whichever is smaller
    const factor = graph.activation(small); // bA + cA²
    const next = graph.activation(matrices.shape); // aX + factor X, or aX + X factor
    const form = wide ? "nt" : "tn";
    const [left, right] = wide ? [factor, x] : [x, factor];
    dispatches.push(
      products(gram, [x, x], { form, K: Math.max(rows, columns) }),
      products(factor, [gram, gram, gram], { K: side, alpha: c, beta: b }),
      products(next, [left, right, x], { K: side, beta: a }),
    );
    x = next;
  }
  return { result: x, dispatches };
}

/** Returns into how many equal parts n numbers are cut for the sum of their squares: as many of about 1024 as divide n, and at most 64. */
function partsOf(n: number): number {
  let parts = Math.min(64, Math.ceil(n / 1024));
  while (n % parts !== 0) parts--;
  return parts;
}
