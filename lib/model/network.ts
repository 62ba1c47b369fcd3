/**
 * The network, from tokens to logits, in the order in which a token meets its
 * parts. This one description serves training, evaluation, prefill and decoding
 * (`plans.ts`); the object that holds its weights is `Model` (`language_model.ts`).
 *
 * Shapes: B batch, T positions, C `nEmbd`, V vocabulary, NH and NKV heads of HS
 * numbers, QKV = (NH + 2·NKV)·HS, H `nHidden`. Names are GPT-2's.
 */

import type { ModelConfig } from "../config.ts";
import { activation, swiglu } from "../graph/ops/activation.ts";
import {
  attention,
  cachedAttention,
  type Scores,
  selectLast,
} from "../graph/ops/attention.ts";
import { add, dropout, softcap } from "../graph/ops/elementwise.ts";
import { embedding } from "../graph/ops/embedding.ts";
import { type Heads, qkNorm, qkvWidth, rope } from "../graph/ops/heads.ts";
import { linear } from "../graph/ops/linear.ts";
import { norm } from "../graph/ops/norm.ts";
import type { Graph, Init, Tensor } from "../graph/tensor.ts";
import { alibiSlopes } from "./positions.ts";

/** What differs between the plans of one network. */
export interface Pass {
  readonly graph: Graph;
  /** (B, T), i32. */
  readonly tokens: Tensor;
  /** In training: the random generator's key, for dropout. */
  readonly key?: Tensor;
  /** In generation: each row continues `start` cached tokens with `count` new ones, (B) both, i32. */
  readonly cache?: { readonly start: Tensor; readonly count: Tensor };
}

/** Describes the network of a configuration; gives its logits (B, T, V), or with a cache (B, V) after each row's last token. */
export function describe(config: ModelConfig, pass: Pass): Tensor {
  return new Network(config, pass).logits();
}

class Network {
  readonly #config: ModelConfig;
  readonly #pass: Pass;
  readonly #graph: Graph;
  readonly #heads: Heads;
  #sites = 0;

  constructor(config: ModelConfig, pass: Pass) {
    const { nHead, nKvHead, nEmbd } = config;
    this.#config = config;
    this.#pass = pass;
    this.#graph = pass.graph;
    this.#heads = { NH: nHead, NKV: nKvHead, HS: nEmbd / nHead };
  }

  logits(): Tensor {
    const { nLayer, normPlacement } = this.#config;
    const { cache } = this.#pass;
    let x = this.#embed(); // (B, T, C)
    for (let layer = 0; layer < nLayer; layer++) {
      x = this.#graph.within(`h.${layer}`, () => this.#block(x)); // (B, T, C)
    }
    if (cache !== undefined) x = selectLast(x, cache.count); // (B, C)
    if (normPlacement === "pre") x = this.#norm("ln_f", x);
    return this.#head(x); // (B, T, V)
  }

  #embed(): Tensor {
    const { blockSize, nEmbd, position } = this.#config;
    const { tokens, cache } = this.#pass;
    const wte = this.#tokenEmbedding(); // (V, C)
    const shape = [blockSize, nEmbd];
    const table = position === "learned"
      ? this.#graph.parameter("wpe.weight", shape, this.#embeddingInit())
      : position === "sinusoidal"
      ? this.#graph.store("sinusoidal", shape)
      : undefined;
    return this.#graph.within(
      "wte",
      () =>
        this.#dropout(embedding(tokens, wte, { table, start: cache?.start })),
    );
  }

  #block(x: Tensor): Tensor {
    const { attention, mlp } = this.#config;
    if (attention) {
      x = this.#part(x, "ln_1", (x, residual) => this.#attention(x, residual));
    }
    if (mlp !== "none") {
      x = this.#part(x, "ln_2", (x, residual) => this.#mlp(x, residual));
    }
    return x;
  }

  /** A part of a block, with its norm and its residual connection. */
  #part(
    x: Tensor,
    ln: string,
    describe: (x: Tensor, residual?: Tensor) => Tensor,
  ): Tensor {
    const residual = this.#config.residual ? x : undefined;
    return this.#config.normPlacement === "pre"
      ? describe(this.#norm(ln, x), residual)
      : this.#norm(ln, describe(x, residual));
  }

  #attention(x: Tensor, residual?: Tensor): Tensor {
    return this.#graph.within("attn", () => {
      let qkv = this.#linear("c_attn", x, qkvWidth(this.#heads)); // (B, T, QKV)
      if (this.#config.qkNorm) qkv = qkNorm(qkv, this.#heads);
      qkv = this.#rotate(qkv);
      const y = this.#attend(qkv); // (B, T, C)
      return this.#project(y, residual); // (B, T, C)
    });
  }

  #rotate(qkv: Tensor): Tensor {
    const { position, blockSize } = this.#config;
    if (position !== "rope" && position !== "rope-half") return qkv;
    const heads = this.#heads;
    return rope(qkv, {
      heads,
      table: this.#graph.store("rope", [blockSize, heads.HS / 2, 2]),
      interleaved: position === "rope",
      start: this.#pass.cache?.start,
    });
  }

  #attend(qkv: Tensor): Tensor {
    const { attentionScale, mask, maskValue, position, blockSize } =
      this.#config;
    const heads = this.#heads;
    const scores: Scores = {
      scale: attentionScale ? 1 / Math.sqrt(heads.HS) : 1,
      mask,
      maskValue,
      slopes: position === "alibi" ? alibiSlopes(heads.NH) : [],
    };
    const { cache: rows, tokens } = this.#pass;
    if (rows === undefined) {
      return attention(qkv, { heads, scores, dropout: this.#dropoutSite() });
    }
    const [B] = tokens.shape as [number, number];
    const cache = this.#graph.store(`${this.#graph.path}.cache`, [
      B,
      blockSize,
      2 * heads.NKV * heads.HS,
    ]);
    return cachedAttention(qkv, { heads, scores, cache, ...rows });
  }

  #mlp(x: Tensor, residual?: Tensor): Tensor {
    const { mlp, nHidden } = this.#config;
    return this.#graph.within("mlp", () => {
      const hidden = this.#linear("c_fc", x, nHidden); // (B, T, H)
      const y = mlp === "swiglu"
        ? swiglu(this.#linear("c_gate", x, nHidden), hidden)
        : activation(hidden, mlp as Exclude<typeof mlp, "none" | "swiglu">);
      return this.#project(y, residual); // (B, T, C)
    });
  }

  /** The end of a part: its output projection, dropout, and the sum with the residual stream. */
  #project(x: Tensor, residual?: Tensor): Tensor {
    const { nEmbd } = this.#config;
    const site = this.#dropoutSite();
    if (site === undefined) return this.#linear("c_proj", x, nEmbd, residual);
    const y = dropout(this.#linear("c_proj", x, nEmbd), site);
    return residual === undefined ? y : add(residual, y);
  }

  #head(x: Tensor): Tensor {
    const { vocabSize, nEmbd, tiedHead, headBias, logitSoftcap } = this.#config;
    return this.#graph.within("lm_head", () => {
      const weight = tiedHead
        ? this.#tokenEmbedding()
        : this.#weight("lm_head", vocabSize, nEmbd);
      const bias = headBias
        ? this.#bias("lm_head", vocabSize, nEmbd)
        : undefined;
      const logits = linear(x, weight, { bias }); // (B, T, V)
      return logitSoftcap === null ? logits : softcap(logits, logitSoftcap);
    });
  }

  // The layers that parts are made of.

  #linear(name: string, x: Tensor, nOut: number, residual?: Tensor): Tensor {
    const nIn = x.shape.at(-1)!;
    return this.#graph.within(name, () => {
      const { path } = this.#graph;
      const weight = this.#weight(path, nOut, nIn);
      const bias = this.#config.bias ? this.#bias(path, nOut, nIn) : undefined;
      return linear(x, weight, { bias, residual });
    });
  }

  #norm(name: string, x: Tensor): Tensor {
    const { norm: kind, bias: hasBias } = this.#config;
    if (kind === "none") return x;
    return this.#graph.within(name, () => {
      const { path } = this.#graph;
      const shape = [x.shape.at(-1)!];
      const weight = this.#graph.parameter(`${path}.weight`, shape, ONE);
      const bias = hasBias && kind === "layernorm"
        ? this.#graph.parameter(`${path}.bias`, shape, ZERO)
        : undefined;
      return norm(x, { kind, weight, bias });
    });
  }

  #dropout(x: Tensor): Tensor {
    const site = this.#dropoutSite();
    return site === undefined ? x : dropout(x, site);
  }

  /** A place for dropout, with masks of its own; none outside training. */
  #dropoutSite(): { rate: number; site: number; key: Tensor } | undefined {
    const { dropout: rate } = this.#config;
    const { key } = this.#pass;
    return rate === 0 || key === undefined
      ? undefined
      : { rate, site: this.#sites++, key };
  }

  // Parameters and how they start.

  #tokenEmbedding(): Tensor {
    const { vocabSize, nEmbd } = this.#config;
    const init = this.#embeddingInit();
    return this.#graph.parameter("wte.weight", [vocabSize, nEmbd], init);
  }

  #embeddingInit(): Init {
    return { kind: "normal", sd: this.#config.init === "gpt2" ? 0.02 : 1 };
  }

  #weight(path: string, nOut: number, nIn: number): Tensor {
    const { init, nLayer } = this.#config;
    // GPT-2 scales what is added to the residual stream by the number of additions.
    const sd = path.endsWith("c_proj") ? 0.02 / Math.sqrt(2 * nLayer) : 0.02;
    return this.#graph.parameter(
      `${path}.weight`,
      [nOut, nIn],
      init === "gpt2" ? { kind: "normal", sd } : torchUniform(nIn),
    );
  }

  #bias(path: string, nOut: number, nIn: number): Tensor {
    const init = this.#config.init === "gpt2" ? ZERO : torchUniform(nIn);
    return this.#graph.parameter(`${path}.bias`, [nOut], init);
  }
}

const ZERO: Init = { kind: "constant", value: 0 };
const ONE: Init = { kind: "constant", value: 1 };

/** `nn.Linear`'s default for weights and biases. */
function torchUniform(nIn: number): Init {
  return { kind: "uniform", bound: 1 / Math.sqrt(nIn) };
}
