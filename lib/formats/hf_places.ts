/** Places of a model's parameters in Hugging Face's files: the tensors of GPT-2 and Llama as transformers names them. */

import type { ModelConfig } from "../config/model.ts";
import {
  type Place,
  place,
  queryKeyValue,
  queryKeyValueRows,
} from "./tensor_map.ts";

/**
 * Returns the places in `GPT2LMHeadModel`, whose linear maps store (in, out).
 *
 * @param transposed false for programs that took over its names alone
 */
export function gpt2Places(config: ModelConfig, transposed = true): Place[] {
  const { vocabSize, blockSize, nLayer, nEmbd, nHidden, tiedHead } = config;
  const own = (name: string, shape: number[], absent?: number) =>
    place(name, shape, `transformer.${name}`, { absent });
  const map = (name: string, rows: number, columns: number) => [
    place(`${name}.weight`, [rows, columns], `transformer.${name}.weight`, {
      transposed,
    }),
    own(`${name}.bias`, [rows], 0),
  ];
  const norm = (name: string) => [
    own(`${name}.weight`, [nEmbd]),
    own(`${name}.bias`, [nEmbd], 0),
  ];
  return [
    own("wte.weight", [vocabSize, nEmbd]),
    own("wpe.weight", [blockSize, nEmbd]),
    ...Array.from({ length: nLayer }, (_, i) => [
      ...norm(`h.${i}.ln_1`),
      ...map(`h.${i}.attn.c_attn`, queryKeyValueRows(config), nEmbd),
      ...map(`h.${i}.attn.c_proj`, nEmbd, nEmbd),
      ...norm(`h.${i}.ln_2`),
      ...map(`h.${i}.mlp.c_fc`, nHidden, nEmbd),
      ...map(`h.${i}.mlp.c_proj`, nEmbd, nHidden),
    ]).flat(),
    ...norm("ln_f"),
    ...tiedHead
      ? []
      : [place("lm_head.weight", [vocabSize, nEmbd], "lm_head.weight")],
  ];
}

/** Returns the places in `LlamaForCausalLM`, `Qwen2ForCausalLM` and `Qwen3ForCausalLM`. */
export function llamaPlaces(config: ModelConfig): Place[] {
  const { vocabSize, nLayer, nHead, nEmbd, headSize, nHidden } = config;
  const { tiedHead, attentionBias, mlpBias } = config;
  const rows = queryKeyValueRows(config);
  const map = (
    name: string,
    shape: number[],
    { to, bias }: { readonly to: string; readonly bias: boolean },
  ) => [
    place(`${name}.weight`, shape, `${to}.weight`),
    ...bias ? [place(`${name}.bias`, [shape[0]!], `${to}.bias`)] : [],
  ];
  const block = (h: string, layer: string) => {
    const mlp = (name: string) => ({
      to: `${layer}.mlp.${name}_proj`,
      bias: mlpBias,
    });
    const parts = (of: string) =>
      queryKeyValue(config, (part) => `${layer}.self_attn.${part}_proj.${of}`);
    return [
      place(`${h}.ln_1.weight`, [nEmbd], `${layer}.input_layernorm.weight`),
      place(`${h}.attn.c_attn.weight`, [rows, nEmbd], parts("weight")),
      ...attentionBias === "none"
        ? []
        : [place(`${h}.attn.c_attn.bias`, [rows], parts("bias"))],
      ...config.qkNorm
        ? ["q", "k"].map((part) => {
          const name = `${layer}.self_attn.${part}_norm.weight`;
          const parts = [{ name, rows: headSize, heads: 1 }];
          return place(`${h}.attn.${part}_norm.weight`, [headSize], parts, {
            absent: 1,
          });
        })
        : [],
      ...map(`${h}.attn.c_proj`, [nEmbd, nHead * headSize], {
        to: `${layer}.self_attn.o_proj`,
        bias: attentionBias === "all",
      }),
      place(
        `${h}.ln_2.weight`,
        [nEmbd],
        `${layer}.post_attention_layernorm.weight`,
      ),
      ...map(`${h}.mlp.c_fc`, [nHidden, nEmbd], mlp("up")),
      ...map(`${h}.mlp.c_gate`, [nHidden, nEmbd], mlp("gate")),
      ...map(`${h}.mlp.c_proj`, [nEmbd, nHidden], mlp("down")),
    ];
  };
  return [
    place("wte.weight", [vocabSize, nEmbd], "model.embed_tokens.weight"),
    ...Array.from(
      { length: nLayer },
      (_, i) => block(`h.${i}`, `model.layers.${i}`),
    ).flat(),
    place("ln_f.weight", [nEmbd], "model.norm.weight"),
    ...tiedHead
      ? []
      : [place("lm_head.weight", [vocabSize, nEmbd], "lm_head.weight")],
  ];
}
