/**
 * The network, from tokens to logits, in the order of the forward pass. Training,
 * evaluation, prefill and decoding share this one description (`plans.ts`,
 * `train/plan.ts`); `Model` (`model.ts`) holds the weights.
 *
 * Shapes: B batch, T positions, C `nEmbd`, V vocabulary, NH query heads and NKV
 * key/value heads of HS numbers, QKV = (NH + 2·NKV)·HS, H `nHidden`. Names are GPT-2's.
 */

import type { ModelConfig } from "../config/model.ts";
import { swiglu } from "../graph/ops/activation.ts";
import {
  attention,
  cachedAttention,
  selectLast,
} from "../graph/ops/attention.ts";
import { dropout, softcap } from "../graph/ops/elementwise.ts";
import { embedding } from "../graph/ops/embedding.ts";
import { qkNorm, qkvWidth, rope } from "../graph/ops/heads.ts";
import { type Activated, activated, linear } from "../graph/ops/linear.ts";
import { norm } from "../graph/ops/norm.ts";
import type { Graph, Init, Tensor } from "../graph/tensor.ts";
import { initialValues, ONE, ZERO } from "./init.ts";
import { alibiSlopes } from "./positions.ts";

/** Inputs of a network. Training has a `key`, generation has a `cache`, evaluation has neither. */
export interface NetworkInputs {
  readonly graph: Graph;
  /** Token ids, (B, T), i32. */
  readonly tokens: Tensor;
  /** Key of the random generator, for dropout in training. */
  readonly key?: Tensor;
  /** Sizes for generation, each (B), i32: row b continues `start[b]` cached tokens with `count[b]` new ones. */
  readonly cache?: { readonly start: Tensor; readonly count: Tensor };
}

/** Adds a network to a graph and returns its logits (B, T, V); with a cache, those of the last tokens (B, V). */
export function network(
  config: ModelConfig,
  { graph, tokens, key, cache }: NetworkInputs,
): Tensor {
  const { blockSize, vocabSize, nEmbd, nHead, nKvHead, headSize } = config;
  const { nHidden, position, logitSoftcap } = config;
  const heads = { NH: nHead, NKV: nKvHead, HS: headSize };
  const init = initialValues(config);
  let dropouts = 0;

  let x = embed(); // (B, T, C)
  for (let layer = 0; layer < config.nLayer; layer++) {
    x = graph.within(`h.${layer}`, () => block(x)); // (B, T, C)
  }
  if (cache) x = selectLast(x, cache.count); // (B, C)
  if (config.normPlacement === "pre") x = normOf("ln_f", x);
  return graph.within("lm_head", () => head(x)); // (B, T, V)

  function embed(): Tensor {
    const weight = wte(); // (V, C)
    const table = position === "learned"
      ? graph.parameter("wpe.weight", [blockSize, nEmbd], init.embedding)
      : position === "sinusoidal"
      ? graph.store("sinusoidal", [blockSize, nEmbd])
      : undefined;
    const start = cache?.start;
    return graph.within(
      "wte",
      () => dropped(embedding(tokens, weight, { table, start })),
    );
  }

  function block(x: Tensor): Tensor {
    if (config.attention) x = part("ln_1", "attn", attend, x); // x + attend(norm(x))
    if (config.mlp !== "none") x = part("ln_2", "mlp", mlp, x); // x + mlp(norm(x))
    return x;
  }

  /** Applies a part of a block with its norm, output projection and residual connection. */
  function part(
    ln: string,
    name: string,
    compute: (x: Tensor) => Tensor | Activated,
    x: Tensor,
  ): Tensor {
    const residual = config.residual ? x : undefined;
    const sum = (x: Tensor) =>
      graph.within(name, () => project(compute(x), residual));
    return config.normPlacement === "pre"
      ? sum(normOf(ln, x))
      : normOf(ln, sum(x));
  }

  function attend(x: Tensor): Tensor {
    let qkv = linearOf("c_attn", x, qkvWidth(heads)); // (B, T, QKV)
    if (config.qkNorm) qkv = normHeads(qkv);
    if (position === "rope" || position === "rope-half") qkv = rotate(qkv);
    const scores = {
      scale: config.attentionScale ? 1 / Math.sqrt(heads.HS) : 1,
      mask: config.mask,
      maskValue: config.maskValue,
      slopes: position === "alibi" ? alibiSlopes(nHead) : [],
    };
    if (!cache) {
      return attention(qkv, { heads, scores, dropout: dropoutSite() }); // (B, T, NH·HS)
    }
    const [B] = tokens.shape as [number, number];
    const shape = [B, blockSize, 2 * nKvHead * heads.HS]; // keys and values
    const store = graph.store(`${graph.path}.cache`, shape);
    return cachedAttention(qkv, { heads, scores, cache: store, ...cache }); // (B, T, NH·HS)
  }

  function normHeads(qkv: Tensor): Tensor {
    const gainOf = (name: string) =>
      graph.within(name, () => own("weight", [headSize], ONE));
    const gains = config.qkNormGain
      ? [gainOf("q_norm"), gainOf("k_norm")] as const
      : undefined;
    return qkNorm(qkv, { heads, eps: config.normEps, gains });
  }

  function rotate(qkv: Tensor): Tensor {
    const table = graph.store("rope", [blockSize, heads.HS / 2, 2]);
    const interleaved = position === "rope";
    return rope(qkv, { heads, table, interleaved, start: cache?.start });
  }

  function mlp(x: Tensor): Tensor | Activated {
    if (config.mlp === "swiglu") {
      const hidden = linearOf("c_fc", x, nHidden); // (B, T, H)
      return swiglu(linearOf("c_gate", x, nHidden), hidden);
    }
    const activation = config.mlp as Exclude<typeof config.mlp, "none">;
    return graph.within("c_fc", () => {
      const { weight, bias } = mapOf(nEmbd, nHidden, init.weight(nEmbd));
      return activated(x, weight, { activation, bias }); // (B, T, H)
    });
  }

  /** Applies the output projection of a part and dropout, and adds the residual stream. */
  function project(x: Tensor | Activated, residual?: Tensor): Tensor {
    const site = dropoutSite();
    if (!site) return linearOf("c_proj", x, nEmbd, residual); // (B, T, C)
    return dropout(linearOf("c_proj", x, nEmbd), { ...site, residual });
  }

  function head(x: Tensor): Tensor {
    const weight = config.tiedHead ? wte() : graph.parameter(
      "lm_head.weight",
      [vocabSize, nEmbd],
      init.weight(nEmbd),
    );
    const bias = config.headBias
      ? graph.parameter("lm_head.bias", [vocabSize], init.bias(nEmbd))
      : undefined;
    const logits = linear(x, weight, { bias }); // (B, T, V)
    return logitSoftcap === null ? logits : softcap(logits, logitSoftcap);
  }

  function wte(): Tensor {
    return graph.parameter("wte.weight", [vocabSize, nEmbd], init.embedding);
  }

  function linearOf(
    name: string,
    x: Tensor | Activated,
    nOut: number,
    residual?: Tensor,
  ): Tensor {
    const nIn = x.shape.at(-1)!;
    const start = name === "c_proj" ? init.projection(nIn) : init.weight(nIn);
    return graph.within(name, () => {
      const { weight, bias } = mapOf(nIn, nOut, start);
      return linear(x, weight, { bias, residual });
    });
  }

  /** Returns the parameters of a linear map of the current layer. */
  function mapOf(nIn: number, nOut: number, start: Init) {
    const weight = own("weight", [nOut, nIn], start);
    const bias = hasBias() ? own("bias", [nOut], init.bias(nIn)) : undefined;
    return { weight, bias };
  }

  /** Returns whether the linear map that the graph's path names has a bias. */
  function hasBias(): boolean {
    const { attentionBias, mlpBias } = config;
    if (graph.path.includes(".mlp.")) return mlpBias;
    return attentionBias === "all" ||
      (attentionBias === "qkv" && graph.path.endsWith(".c_attn"));
  }

  function normOf(name: string, x: Tensor): Tensor {
    const { norm: kind, normEps: eps } = config;
    if (kind === "none") return x;
    return graph.within(name, () => {
      const weight = own("weight", [nEmbd], ONE);
      const hasBias = config.bias && kind === "layernorm";
      const bias = hasBias ? own("bias", [nEmbd], ZERO) : undefined;
      return norm(x, { kind, eps, weight, bias });
    });
  }

  /** Returns a parameter of the current layer. */
  function own(name: string, shape: number[], init: Init): Tensor {
    return graph.parameter(`${graph.path}.${name}`, shape, init);
  }

  function dropped(x: Tensor): Tensor {
    const site = dropoutSite();
    return site ? dropout(x, site) : x;
  }

  /** Returns the arguments of a new dropout, whose site gives it its own random numbers; undefined outside training. */
  function dropoutSite() {
    const { dropout: rate } = config;
    return rate > 0 && key ? { rate, site: dropouts++, key } : undefined;
  }
}
