/** Attention ops: fused over whole sequences for training, and over a key/value cache for generation. */

import type {
  AttentionDims,
  AttentionDropoutDims,
  CacheDims,
} from "../../../kernels/vocabulary.ts";
import { expectShape, type Graph, type Op, type Tensor } from "../tensor.ts";
import { type Heads, qkvWidth } from "./heads.ts";

/** Scale, mask and bias of attention scores; see `AttentionDims` in the kernel vocabulary. */
export type Scores = Pick<
  AttentionDims,
  "scale" | "mask" | "maskValue" | "slopes"
>;

const attentionOp: Op<AttentionDropoutDims> = {
  name: "attention",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "attention", outputs, inputs, dims: attrs });
  },
  // Probabilities are recomputed from lse, so no T×T array is kept
  // (FlashAttention, arXiv 2205.14135, section 3.1 and appendix B).
  backward({ inputs, outputs, attrs }, gradients, emit) {
    const [qkv, ...key] = inputs as [Tensor, ...Tensor[]];
    const [y, lse] = outputs as [Tensor, Tensor];
    const dy = gradients.of(y);
    emit({
      kernel: "attentionBackward",
      outputs: [gradients.fresh(qkv)],
      inputs: [dy, y, lse, qkv, ...key],
      dims: attrs,
    });
  },
};

/**
 * Computes softmax attention of every position over its own sequence.
 *
 * @param qkv (B, T, QKV)
 * @param options.dropout dropout on the probabilities; none by default
 * @returns (B, T, NH·HS)
 */
export function attention(
  qkv: Tensor,
  { heads, scores, dropout }: {
    heads: Heads;
    scores: Scores;
    dropout?: { rate: number; site: number; key: Tensor } | undefined;
  },
): Tensor {
  const [B, T] = qkv.shape as [number, number, number];
  const { NH, HS } = heads;
  expectShape("attention", qkv, [B, T, qkvWidth(heads)]);
  return qkv.graph.apply(attentionOp, {
    inputs: dropout === undefined ? [qkv] : [qkv, dropout.key],
    outputs: [[B, T, NH * HS], [B, NH, T]],
    attrs: {
      B,
      T,
      ...heads,
      ...scores,
      dropout: dropout?.rate ?? 0,
      site: dropout?.site ?? 0,
    },
  })[0]!;
}

/** Input, output and dims of one attention layer of a network. */
export interface AttentionLayer {
  /** Part of the model, e.g. `h.0.attn`. */
  readonly label: string;
  /** Queries and keys after norm and rotation, and values: (B, T, QKV). */
  readonly qkv: Tensor;
  /** Output, (B, T, NH·HS). */
  readonly y: Tensor;
  readonly dims: AttentionDims;
}

/** Returns the attention layers over whole sequences in a graph, in order. */
export function attentionLayers({ nodes }: Graph): AttentionLayer[] {
  return nodes.filter(({ op }) => op === attentionOp).map((node) => ({
    label: node.label,
    qkv: node.inputs[0]!,
    y: node.outputs[0]!,
    dims: node.attrs as AttentionDropoutDims,
  }));
}

const cachedAttentionOp: Op<CacheDims & AttentionDims> = {
  name: "cachedAttention",
  forward({ inputs, outputs: [y], attrs }, emit) {
    const [qkv, cache, start, count] = inputs as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const { B, T, L, NH, NKV, HS } = attrs;
    emit({
      kernel: "cacheAppend",
      outputs: [cache],
      inputs: [qkv, start, count],
      dims: { B, T, L, NH, NKV, HS },
    });
    emit({
      kernel: "attentionCached",
      outputs: [y!],
      inputs: [qkv, cache, start, count],
      dims: attrs,
    });
  },
};

/**
 * Appends keys and values to a cache, then computes attention of the new queries over the whole cache.
 *
 * @param qkv (B, T, QKV): the new tokens
 * @param options.cache (B, L, 2·NKV·HS)
 * @param options.start (B), i32: tokens in the cache before this call
 * @param options.count (B), i32: how many of the T tokens are new; the rest is padding
 * @returns (B, T, NH·HS)
 */
export function cachedAttention(
  qkv: Tensor,
  { heads, scores, cache, start, count }: {
    heads: Heads;
    scores: Scores;
    cache: Tensor;
    start: Tensor;
    count: Tensor;
  },
): Tensor {
  const [B, T] = qkv.shape as [number, number, number];
  const L = cache.shape[1]!;
  const { NH, NKV, HS } = heads;
  expectShape("cachedAttention", qkv, [B, T, qkvWidth(heads)]);
  expectShape("cachedAttention", cache, [B, L, 2 * NKV * HS]);
  return qkv.graph.apply(cachedAttentionOp, {
    inputs: [qkv, cache, start, count],
    outputs: [[B, T, NH * HS]],
    attrs: { B, T, L, ...heads, ...scores },
  })[0]!;
}

const selectLastOp: Op<{ B: number; T: number; C: number }> = {
  name: "selectLast",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "selectLast", outputs, inputs, dims: attrs });
  },
};

/**
 * Selects the last position of each row that is not padding. A single position is `x` itself, without a dispatch.
 *
 * @param x (B, T, C)
 * @param count (B), i32: positions in each row that are not padding
 * @returns (B, C)
 */
export function selectLast(x: Tensor, count: Tensor): Tensor {
  const [B, T, C] = x.shape as [number, number, number];
  if (T === 1) return x.graph.part(x, { offset: 0, shape: [B, C] });
  return x.graph.apply(selectLastOp, {
    inputs: [x, count],
    outputs: [[B, C]],
    attrs: { B, T, C },
  })[0]!;
}
