/**
 * What operands each kernel takes: dtype and length, from its dims, in the vocabulary's
 * order. The reference backend refuses a plan that does not fit; the conformance suite
 * makes its inputs from it.
 */

import type {
  AttentionDims,
  CacheDims,
  KernelDims,
  KernelName,
  QkNormDims,
} from "../../kernels/vocabulary.ts";
import type { Dispatch, DType } from "../graph/plan.ts";

/** One operand: its name in the vocabulary, dtype, and number of elements. */
export interface OperandShape {
  readonly name: string;
  readonly dtype: DType;
  readonly length: number;
}

/** The operands of one kernel. */
export interface OperandShapes {
  readonly outputs: readonly OperandShape[];
  readonly inputs: readonly OperandShape[];
}

/** The operands of a kernel with these dims. */
export function operandShapes<Name extends KernelName>(
  kernel: Name,
  dims: KernelDims[Name],
): OperandShapes {
  return shapes[kernel](dims);
}

function f32(name: string, length: number): OperandShape {
  return { name, dtype: "f32", length };
}

function i32(name: string, length: number): OperandShape {
  return { name, dtype: "i32", length };
}

/** (seed, counter, metrics slot, loss slot). */
const key: OperandShape = i32("key", 4);

/** Length of qkv[B,T,QKV], given rows = B·T. */
function qkvLength({ rows, NH, NKV, HS }: Omit<QkNormDims, "eps">): number {
  return rows * (NH + 2 * NKV) * HS;
}

/** The operands that attention kernels have in common. */
function attentionOperands(dims: AttentionDims & { dropout?: number }): {
  y: OperandShape;
  dy: OperandShape;
  qkv: OperandShape;
  dqkv: OperandShape;
  lse: OperandShape;
  key: readonly OperandShape[];
} {
  const { B, T, NH, HS } = dims;
  const qkv = qkvLength({ ...dims, rows: B * T });
  return {
    y: f32("y", B * T * NH * HS),
    dy: f32("dy", B * T * NH * HS),
    qkv: f32("qkv", qkv),
    dqkv: f32("dqkv", qkv),
    lse: f32("lse", B * NH * T),
    key: dims.dropout ? [key] : [],
  };
}

function cacheOperands({ B, L, NKV, HS }: CacheDims): {
  cache: OperandShape;
  start: OperandShape;
  count: OperandShape;
} {
  return {
    cache: f32("cache", B * L * 2 * NKV * HS),
    start: i32("start", B),
    count: i32("count", B),
  };
}

const shapes: {
  readonly [Name in KernelName]: (dims: KernelDims[Name]) => OperandShapes;
} = {
  embedding: ({ B, T, C, V, L, positions, start }) => ({
    outputs: [f32("x", B * T * C)],
    inputs: [
      i32("tokens", B * T),
      f32("wte", V * C),
      ...(positions ? [f32("table", L * C)] : []),
      ...(start ? [i32("start", B)] : []),
    ],
  }),
  embeddingBackward: ({ rows, C, V }) => ({
    outputs: [f32("dwte", V * C)],
    inputs: [f32("dx", rows * C), i32("tokens", rows)],
  }),
  positionBackward: ({ B, T, C, L }) => ({
    outputs: [f32("dtable", L * C)],
    inputs: [f32("dx", B * T * C)],
  }),
  matmul: ({ M, N, K, bias, residual }) => ({
    outputs: [f32("y", M * N)],
    inputs: [
      f32("a", M * K),
      f32("b", N * K),
      ...(bias ? [f32("bias", N)] : []),
      ...(residual ? [f32("residual", M * N)] : []),
    ],
  }),
  columnSum: ({ rows, N }) => ({
    outputs: [f32("db", N)],
    inputs: [f32("dy", rows * N)],
  }),
  norm: ({ rows, C, bias }) => ({
    outputs: [f32("y", rows * C), f32("stats", rows * 2)],
    inputs: [
      f32("x", rows * C),
      f32("weight", C),
      ...(bias ? [f32("bias", C)] : []),
    ],
  }),
  normBackward: ({ rows, C }) => ({
    outputs: [f32("dx", rows * C)],
    inputs: [
      f32("dy", rows * C),
      f32("x", rows * C),
      f32("weight", C),
      f32("stats", rows * 2),
    ],
  }),
  normBackwardWeights: ({ rows, C, bias }) => ({
    outputs: [f32("dweight", C), ...(bias ? [f32("dbias", C)] : [])],
    inputs: [f32("dy", rows * C), f32("x", rows * C), f32("stats", rows * 2)],
  }),
  activation: ({ n }) => ({ outputs: [f32("y", n)], inputs: [f32("x", n)] }),
  activationBackward: ({ n }) => ({
    outputs: [f32("dx", n)],
    inputs: [f32("dy", n), f32("x", n)],
  }),
  swiglu: ({ n }) => ({
    outputs: [f32("y", n)],
    inputs: [f32("gate", n), f32("x", n)],
  }),
  swigluBackward: ({ n }) => ({
    outputs: [f32("dgate", n), f32("dx", n)],
    inputs: [f32("dy", n), f32("gate", n), f32("x", n)],
  }),
  qkNorm: (dims) => ({
    outputs: [f32("y", qkvLength(dims))],
    inputs: [f32("qkv", qkvLength(dims))],
  }),
  qkNormBackward: (dims) => ({
    outputs: [f32("dqkv", qkvLength(dims))],
    inputs: [f32("dy", qkvLength(dims)), f32("qkv", qkvLength(dims))],
  }),
  rope: (dims) => {
    const length = qkvLength({ ...dims, rows: dims.B * dims.T });
    return {
      outputs: [f32("y", length)],
      inputs: [
        f32("qkv", length),
        f32("table", dims.L * dims.HS),
        ...(dims.start ? [i32("start", dims.B)] : []),
      ],
    };
  },
  attention: (dims) => {
    const { y, lse, qkv, key } = attentionOperands(dims);
    return { outputs: [y, lse], inputs: [qkv, ...key] };
  },
  attentionBackward: (dims) => {
    const { dqkv, dy, y, lse, qkv, key } = attentionOperands(dims);
    return { outputs: [dqkv], inputs: [dy, y, lse, qkv, ...key] };
  },
  cacheAppend: (dims) => {
    const { cache, start, count } = cacheOperands(dims);
    const qkv = f32("qkv", qkvLength({ ...dims, rows: dims.B * dims.T }));
    return { outputs: [cache], inputs: [qkv, start, count] };
  },
  attentionCached: (dims) => {
    const { y, qkv } = attentionOperands(dims);
    const { cache, start, count } = cacheOperands(dims);
    return { outputs: [y], inputs: [qkv, cache, start, count] };
  },
  selectLast: ({ B, T, C }) => ({
    outputs: [f32("y", B * C)],
    inputs: [f32("x", B * T * C), i32("count", B)],
  }),
  add: ({ n }) => ({
    outputs: [f32("y", n)],
    inputs: [f32("a", n), f32("b", n)],
  }),
  copy: ({ n }) => ({ outputs: [f32("y", n)], inputs: [f32("x", n)] }),
  dropout: ({ n }) => ({ outputs: [f32("y", n)], inputs: [f32("x", n), key] }),
  softcap: ({ n }) => ({ outputs: [f32("y", n)], inputs: [f32("x", n)] }),
  softcapBackward: ({ n }) => ({
    outputs: [f32("dx", n)],
    inputs: [f32("dy", n), f32("y", n)],
  }),
  crossEntropy: ({ rows, V, gradient }) => ({
    outputs: [
      f32("rowLoss", rows),
      ...(gradient ? [f32("dlogits", rows * V)] : []),
    ],
    inputs: [f32("logits", rows * V), i32("targets", rows)],
  }),
  lossSum: ({ rows, slots }) => ({
    outputs: [f32("total", slots)],
    inputs: [f32("rowLoss", rows), key],
  }),
  squareSum: ({ n, parts }) => ({
    outputs: [f32("partial", parts)],
    inputs: [f32("grads", n)],
  }),
  clip: ({ parts, slots }) => ({
    outputs: [f32("clip", 2), f32("metrics", slots * 4), f32("loss", 1)],
    inputs: [f32("partial", parts), key],
  }),
  adamw: ({ n }) => ({
    outputs: ["params", "grads", "m", "v"].map((name) => f32(name, n)),
    inputs: [f32("clip", 2), f32("schedule", 3)],
  }),
  momentum: ({ n }) => ({
    outputs: ["direction", "grads", "m"].map((name) => f32(name, n)),
    inputs: [f32("clip", 2)],
  }),
  normalize: ({ n, parts }) => ({
    outputs: [f32("y", n)],
    inputs: [f32("x", n), f32("partial", parts)],
  }),
  combine: ({ n }) => ({
    outputs: [f32("y", n)],
    inputs: [f32("a", n), f32("b", n)],
  }),
  descend: ({ n }) => ({
    outputs: [f32("params", n)],
    inputs: [f32("direction", n), f32("clip", 2), f32("schedule", 3)],
  }),
};

/**
 * Refuses operands that do not have the number, dtypes and lengths that the dims ask for.
 *
 * @param dtypes the dtype of each buffer of the plan
 * @throws {RangeError} if they do not fit
 */
export function checkOperands(
  dispatch: Dispatch,
  dtypes: readonly DType[],
): void {
  const expected = operandShapes(dispatch.kernel, dispatch.dims as never);
  for (const side of ["outputs", "inputs"] as const) {
    const operands = dispatch[side];
    const wanted = expected[side];
    const problem = `Cannot dispatch ${dispatch.kernel} (${dispatch.label}):`;
    if (operands.length !== wanted.length) {
      throw new RangeError(
        `${problem} it has ${operands.length} ${side}, not ${wanted.length} (${
          wanted.map(({ name }) => name).join(", ")
        })`,
      );
    }
    for (const [index, { name, dtype, length }] of wanted.entries()) {
      const operand = operands[index]!;
      const actual = dtypes[operand.buffer];
      if (operand.length !== length || actual !== dtype) {
        throw new RangeError(
          `${problem} ${name} is ${actual}[${operand.length}], not ${dtype}[${length}]`,
        );
      }
    }
  }
}
