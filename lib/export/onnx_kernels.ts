/**
 * The kernels of a forward pass as ONNX operators; `kernels/vocabulary.ts` has their formulas. Activations have the
 * shape (rows, …) with rows = B·T. B and T are known only at run time, from the shape of the tokens.
 */

import type {
  Activation,
  AttentionDims,
  KernelDims,
  KernelName,
} from "../../kernels/vocabulary.ts";
import { FLOAT, type OnnxGraph } from "./onnx_file.ts";

/** Name of the tokens, the graph's input: (B, T), int64. */
export const TOKENS = "input_ids";

/** Writes a kernel's operators, and returns the names of its outputs that later kernels read. */
export type KernelWriter<Name extends KernelName> = (
  graph: OnnxGraph,
  inputs: readonly string[],
  dims: KernelDims[Name],
) => string[];

/** Writers of the kernels that a forward pass has. */
export const onnxKernels: {
  readonly [Name in KernelName]?: KernelWriter<Name>;
} = {
  embedding(graph, [tokens, weight, table], { C }) {
    const x = graph.node("Gather", [weight!, tokens!], { axis: 0 }); // (B, T, C)
    const sum = table === undefined
      ? x
      : graph.node("Add", [x, rowsOf(graph, table)]);
    return [graph.node("Reshape", [sum, graph.integers(-1, C)])];
  },

  matmul(graph, [a, b, ...more], { bias, residual, activation }) {
    const inputs = bias ? [a!, b!, more[0]!] : [a!, b!];
    const product = graph.node("Gemm", inputs, { transB: 1 });
    const y = residual ? graph.node("Add", [product, more.at(-1)!]) : product;
    return activation === null ? [y] : [y, activations[activation](graph, y)];
  },

  norm(graph, [x, weight, bias], { kind, eps }) {
    if (kind === "rmsnorm") {
      return [graph.node("Mul", [dividedByRms(graph, x!, eps), weight!])];
    }
    const inputs = bias === undefined ? [x!, weight!] : [x!, weight!, bias];
    const epsilon = { float: eps };
    return [graph.node("LayerNormalization", inputs, { axis: -1, epsilon })];
  },

  swiglu(graph, [gate, x]) {
    const sigmoid = graph.node("Sigmoid", [gate!]);
    const silu = graph.node("Mul", [gate!, sigmoid]);
    return [graph.node("Mul", [silu, x!])];
  },

  qkNorm(graph, [qkv, ...gains], { NH, NKV, HS, eps }) {
    const shape = graph.integers(-1, NH + NKV, HS);
    return [onQueriesAndKeys(graph, qkv!, { NH, NKV, HS }, (qk) => {
      const heads = graph.node("Reshape", [qk, shape]);
      const normed = dividedByRms(graph, heads, eps);
      if (gains.length === 0) return normed;
      // (NH + NKV, HS): the gain of queries for each query head, then that of keys.
      const rows = gains.map((gain, part) => {
        const sizes = graph.integers(part === 0 ? NH : NKV, HS);
        return graph.node("Expand", [gain, sizes]);
      });
      const gain = graph.node("Concat", rows, { axis: 0 });
      return graph.node("Mul", [normed, gain]);
    })];
  },

  rope(graph, [qkv, table], { NH, NKV, HS, interleaved }) {
    // A head is (HS/2, 2) if neighbours are a pair, else (2, HS/2).
    const axis = interleaved ? 4 : 3;
    const pairs = interleaved ? [HS / 2, 2] : [2, HS / 2];
    const angles = (index: number) =>
      graph.once(`${table} ${index}`, () => {
        const rows = rowsOf(graph, table!); // (T, HS/2, 2)
        const one = [rows, graph.integer(index)];
        const picked = graph.node("Gather", one, { axis: 2 });
        return graph.node("Unsqueeze", [picked, graph.integers(1)]); // (T, 1, HS/2)
      });
    const [cos, sin] = [angles(0), angles(1)];
    return [onQueriesAndKeys(graph, qkv!, { NH, NKV, HS }, (qk) => {
      const shape = shapeOf(graph, NH + NKV, ...pairs);
      const heads = graph.node("Reshape", [qk, shape]);
      const [x, y] = [0, 1].map((index) =>
        graph.node("Gather", [heads, graph.integer(index)], { axis })
      ) as [string, string];
      const times = (a: string, b: string) => graph.node("Mul", [a, b]);
      const turned = [
        graph.node("Sub", [times(x, cos), times(y, sin)]),
        graph.node("Add", [times(y, cos), times(x, sin)]),
      ].map((part) => graph.node("Unsqueeze", [part, graph.integers(axis)]));
      return graph.node("Concat", turned, { axis });
    })];
  },

  attention(graph, [qkv], dims) {
    const { NH, NKV, HS, scale } = dims;
    const widths = graph.integers(NH * HS, NKV * HS, NKV * HS);
    const parts = graph.nodes("Split", [qkv!, widths], {
      attributes: { axis: -1 },
      outputs: 3,
    });
    const heads = (part: number, group: number, perm: readonly number[]) => {
      const shape = shapeOf(graph, NKV, group, HS); // (B, T, NKV, group, HS)
      const split = graph.node("Reshape", [parts[part]!, shape]);
      return graph.node("Transpose", [split], { perm });
    };
    // G query heads share a key/value head.
    const q = heads(0, NH / NKV, [0, 2, 3, 1, 4]); // (B, NKV, G, T, HS)
    const k = heads(1, 1, [0, 2, 3, 4, 1]); // (B, NKV, 1, HS, T)
    const v = heads(2, 1, [0, 2, 3, 1, 4]); // (B, NKV, 1, T, HS)
    let scores = graph.node("MatMul", [q, k]); // (B, NKV, G, T, T)
    if (scale !== 1) scores = graph.node("Mul", [scores, graph.number(scale)]);
    scores = masked(graph, biased(graph, scores, dims), dims);
    const probabilities = graph.node("Softmax", [scores], { axis: -1 });
    const y = graph.node("MatMul", [probabilities, v]); // (B, NKV, G, T, HS)
    const perm = [0, 3, 1, 2, 4];
    const rows = [
      graph.node("Transpose", [y], { perm }),
      graph.integers(-1, NH * HS),
    ];
    return [graph.node("Reshape", rows)];
  },

  softcap(graph, [x], { cap }) {
    const share = graph.node("Div", [x!, graph.number(cap)]);
    const tanh = graph.node("Tanh", [share]);
    return [graph.node("Mul", [tanh, graph.number(cap)])];
  },
};

const activations: Readonly<
  Record<Activation, (graph: OnnxGraph, x: string) => string>
> = {
  geluTanh(graph, x) {
    const cube = graph.node("Mul", [graph.node("Mul", [x, x]), x]);
    const term = graph.node("Mul", [cube, graph.number(0.044715)]);
    const sum = graph.node("Add", [x, term]);
    const scaled = graph.node("Mul", [
      sum,
      graph.number(Math.sqrt(2 / Math.PI)),
    ]);
    return halfOfOnePlus(graph, graph.node("Tanh", [scaled]), x);
  },
  gelu(graph, x) {
    const scaled = graph.node("Mul", [x, graph.number(Math.SQRT1_2)]);
    return halfOfOnePlus(graph, graph.node("Erf", [scaled]), x);
  },
  relu: (graph, x) => graph.node("Relu", [x]),
  relu2(graph, x) {
    const relu = graph.node("Relu", [x]);
    return graph.node("Mul", [relu, relu]);
  },
};

/** Writes 0.5 · x · (1 + value). */
function halfOfOnePlus(graph: OnnxGraph, value: string, x: string): string {
  const sum = graph.node("Add", [value, graph.number(1)]);
  const half = graph.node("Mul", [x, graph.number(0.5)]);
  return graph.node("Mul", [half, sum]);
}

/** Writes x / sqrt(mean(x²) + eps), the mean over the last dimension. */
function dividedByRms(graph: OnnxGraph, x: string, eps: number): string {
  const squares = graph.node("Mul", [x, x]);
  const axes = { axes: [-1], keepdims: 1 };
  const mean = graph.node("ReduceMean", [squares], axes);
  const sum = graph.node("Add", [mean, graph.number(eps)]);
  return graph.node("Div", [x, graph.node("Sqrt", [sum])]);
}

/** Subtracts ALiBi's slopes · (i - j) from the scores of query i and key j, if there are slopes. */
function biased(
  graph: OnnxGraph,
  scores: string,
  { NKV, NH, slopes }: AttentionDims,
): string {
  if (slopes.length === 0) return scores;
  const bias = graph.once("alibi", (name) => {
    const shape = [NKV, NH / NKV, 1, 1];
    const factors = graph.constant(name, shape, Float32Array.from(slopes));
    const { query, key } = positions(graph);
    const distance = graph.node("Sub", [query, key]);
    const floats = graph.node("Cast", [distance], { to: FLOAT });
    return graph.node("Mul", [factors, floats]);
  });
  return graph.node("Sub", [scores, bias]);
}

/** Replaces the scores of keys after the query. */
function masked(
  graph: OnnxGraph,
  scores: string,
  { mask, maskValue }: AttentionDims,
): string {
  if (mask === "none") return scores;
  const value = { causal: -Infinity, zeroed: 0, finite: maskValue }[mask];
  const isFuture = graph.once("is future", () => {
    const { query, key } = positions(graph);
    return graph.node("Less", [query, key]);
  });
  return graph.node("Where", [isFuture, graph.number(value), scores]);
}

/** Returns the positions of queries, (T, 1), and of keys, (T). */
function positions(graph: OnnxGraph): { query: string; key: string } {
  const key = graph.once("positions", () => {
    const T = graph.node("Gather", [tokenShape(graph), graph.integer(1)]);
    return graph.node("Range", [graph.integer(0), T, graph.integer(1)]);
  });
  const query = graph.once(
    "query positions",
    () => graph.node("Unsqueeze", [key, graph.integers(1)]),
  );
  return { query, key };
}

/** Applies a function to the queries and keys of qkv, and leaves the values. */
function onQueriesAndKeys(
  graph: OnnxGraph,
  qkv: string,
  { NH, NKV, HS }: {
    readonly NH: number;
    readonly NKV: number;
    readonly HS: number;
  },
  change: (queriesAndKeys: string) => string,
): string {
  const width = (NH + NKV) * HS;
  const [qk, v] = graph.nodes("Split", [qkv, graph.integers(width, NKV * HS)], {
    attributes: { axis: -1 },
    outputs: 2,
  }) as [string, string];
  const changed = [change(qk), graph.integers(-1, width)];
  return graph.node("Concat", [graph.node("Reshape", changed), v], {
    axis: -1,
  });
}

/** Returns the first T rows of a table; the runtime refuses a T above the table's length. */
function rowsOf(graph: OnnxGraph, table: string): string {
  return graph.once(
    `rows of ${table}`,
    () => graph.node("Gather", [table, positions(graph).key], { axis: 0 }),
  );
}

/** Returns the shape (B, T, …) as a list of integers. */
export function shapeOf(graph: OnnxGraph, ...rest: readonly number[]): string {
  return graph.once(`shape B,T,${rest}`, () => {
    const parts = [tokenShape(graph), graph.integers(...rest)];
    return graph.node("Concat", parts, { axis: 0 });
  });
}

/** Returns the shape of the tokens, (B, T). */
function tokenShape(graph: OnnxGraph): string {
  return graph.once("shape B,T", () => graph.node("Shape", [TOKENS]));
}
