/** Ops on query and key heads before attention: query-key norm and rotary positions. */

import type { KernelDims, QkNormDims } from "../../../kernels/vocabulary.ts";
import { expectShape, type Op, sizeOf, type Tensor } from "../tensor.ts";

/** Layout of a row of `qkv`: NH query heads, NKV key heads, NKV value heads, each of HS numbers. */
export interface Heads {
  readonly NH: number;
  readonly NKV: number;
  readonly HS: number;
}

/** Returns the number of elements in one row of `qkv`. */
export function qkvWidth({ NH, NKV, HS }: Heads): number {
  return (NH + 2 * NKV) * HS;
}

const qkNormOp: Op<QkNormDims> = {
  name: "qkNorm",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "qkNorm", outputs, inputs, dims: attrs });
  },
  backward({ inputs, outputs, attrs }, gradients, emit) {
    const [qkv, ...gains] = inputs as [Tensor, ...Tensor[]];
    const [y, ...roots] = outputs as [Tensor, ...Tensor[]];
    emit({
      kernel: "qkNormBackward",
      outputs: [
        gradients.fresh(qkv),
        ...gains.map((gain) => gradients.into(gain).gradient),
      ],
      inputs: [gradients.of(y), qkv, ...gains, ...roots],
      dims: attrs,
    });
  },
};

/**
 * Divides each query and key head by its root mean square; values are unchanged.
 *
 * @param qkv (B, T, QKV)
 * @param options.gains gains of queries and of keys, which follow; each (HS)
 */
export function qkNorm(
  qkv: Tensor,
  { heads, eps, gains }: {
    heads: Heads;
    eps: number;
    gains?: readonly [Tensor, Tensor] | undefined;
  },
): Tensor {
  const rows = sizeOf(qkv.shape) / qkvWidth(heads);
  for (const gain of gains ?? []) expectShape("qkNorm", gain, [heads.HS]);
  const roots = [rows, heads.NH + 2 * heads.NKV];
  return qkv.graph.apply(qkNormOp, {
    inputs: [qkv, ...gains ?? []],
    outputs: gains === undefined ? [qkv.shape] : [qkv.shape, roots],
    attrs: { rows, ...heads, eps, gain: gains !== undefined },
  })[0]!;
}

const ropeOp: Op<KernelDims["rope"]> = {
  name: "rope",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "rope", outputs, inputs, dims: attrs });
  },
  // A rotation's transpose is the rotation by the opposite angle.
  backward({ inputs, outputs, attrs }, gradients, emit) {
    const [qkv, ...rest] = inputs as [Tensor, ...Tensor[]];
    emit({
      kernel: "rope",
      outputs: [gradients.fresh(qkv)],
      inputs: [gradients.of(outputs[0]!), ...rest],
      dims: { ...attrs, inverse: !attrs.inverse },
    });
  },
};

/**
 * Rotates query and key heads by their position (arXiv 2104.09864).
 *
 * @param qkv (B, T, QKV)
 * @param options.table (L, HS/2, 2): cosine and sine of each position and pair
 * @param options.interleaved pairs dims (2i, 2i+1), else (i, i + HS/2)
 * @param options.start (B), i32: the position of each row's first token; 0 by default
 */
export function rope(
  qkv: Tensor,
  { heads, table, interleaved, start }: {
    heads: Heads;
    table: Tensor;
    interleaved: boolean;
    start?: Tensor | undefined;
  },
): Tensor {
  const [B, T] = qkv.shape as [number, number, number];
  const L = table.shape[0]!;
  expectShape("rope", qkv, [B, T, qkvWidth(heads)]);
  expectShape("rope", table, [L, heads.HS / 2, 2]);
  return qkv.graph.apply(ropeOp, {
    inputs: start === undefined ? [qkv, table] : [qkv, table, start],
    outputs: [qkv.shape],
    attrs: {
      B,
      T,
      ...heads,
      L,
      interleaved,
      inverse: false,
      start: start !== undefined,
    },
  })[0]!;
}
