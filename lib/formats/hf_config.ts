/** Hugging Face's `config.json`: to and from the configuration of a model. */

import { type ModelConfig, modelConfig } from "../config/model.ts";
import { isRefusal } from "../refusal.ts";
import { cannotImport, jsonObject } from "./imported.ts";
import { clip, quote } from "./safetensors_header.ts";

/** Architectures that are read, by `model_type`. */
export type ModelType = "gpt2" | "llama";

/** A configuration that was read. */
export interface ReadConfig {
  readonly type: ModelType;
  readonly config: ModelConfig;
  /** What training settings were left out, in words. */
  readonly notes: readonly string[];
}

/** Returns the fields of `config.json` that an architecture has. */
export function hfConfig(
  type: string,
  config: ModelConfig,
): Record<string, unknown> {
  const { vocabSize, blockSize, nLayer, nHead, nKvHead, nEmbd, nHidden } =
    config;
  const common = {
    "model_type": type,
    "vocab_size": vocabSize,
    "tie_word_embeddings": config.tiedHead,
    "torch_dtype": "float32",
  };
  return type === "gpt2"
    ? {
      architectures: ["GPT2LMHeadModel"],
      ...common,
      "n_positions": blockSize,
      "n_layer": nLayer,
      "n_head": nHead,
      "n_embd": nEmbd,
      "n_inner": nHidden,
      "activation_function": Object.keys(activations)
        .find((name) => activations[name] === config.mlp),
      "layer_norm_epsilon": 1e-5,
      "scale_attn_weights": config.attentionScale,
      "attn_pdrop": config.dropout,
      "embd_pdrop": config.dropout,
      "resid_pdrop": config.dropout,
    }
    : {
      architectures: ["LlamaForCausalLM"],
      ...common,
      "max_position_embeddings": blockSize,
      "num_hidden_layers": nLayer,
      "num_attention_heads": nHead,
      "num_key_value_heads": nKvHead,
      "hidden_size": nEmbd,
      "intermediate_size": nHidden,
      "hidden_act": "silu",
      "rms_norm_eps": 1e-5,
      "rope_theta": 10000,
      "attention_bias": config.bias,
      "mlp_bias": config.bias,
    };
}

/** GPT-2's activations; of two names for one, the first is written. */
const activations: Readonly<Record<string, ModelConfig["mlp"]>> = {
  "gelu_new": "geluTanh",
  "gelu_pytorch_tanh": "geluTanh",
  gelu: "gelu",
  relu: "relu",
};

/**
 * Reads `config.json`.
 *
 * @param blockSize longest context, at most the file's
 * @throws {SyntaxError} if it is none, or asks for something that a model cannot have; the message names the field
 */
export function readHfConfig(
  text: string,
  blockSize: number | undefined,
): ReadConfig {
  const fields = new ConfigFields(text);
  const type = fields.word("model_type", ["gpt2", "llama"]);
  fields.only("quantization_config", [undefined, null]);
  const read = type === "gpt2" ? readGpt2(fields) : readLlama(fields);
  const most = fields.integer(
    type === "gpt2" ? "n_positions" : "max_position_embeddings",
  );
  if (blockSize !== undefined && blockSize > most) {
    throw cannotImport(
      `blockSize ${blockSize} is above the model's own, ${most}`,
    );
  }
  try {
    const config = modelConfig({ ...read, blockSize: blockSize ?? most });
    return { type, config, notes: fields.notes };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw cannotImport(`config.json is unusable: ${error.reason}`);
  }
}

type Read = Parameters<typeof modelConfig>[0];

function readGpt2(fields: ConfigFields): Read {
  fields.only("scale_attn_by_inverse_layer_idx", [undefined, false]);
  fields.only("add_cross_attention", [undefined, false]);
  fields.only("layer_norm_epsilon", [undefined, 1e-5]);
  const nEmbd = fields.integer("n_embd");
  const mlp = fields.word(
    "activation_function",
    Object.keys(activations),
    "gelu_new",
  );
  return {
    vocabSize: fields.integer("vocab_size"),
    nLayer: fields.integer("n_layer"),
    nHead: fields.integer("n_head"),
    nEmbd,
    nHidden: fields.integer("n_inner", 4 * nEmbd),
    position: "learned",
    norm: "layernorm",
    mlp: activations[mlp]!,
    attentionScale: fields.flag("scale_attn_weights", true),
    bias: true,
    tiedHead: fields.flag("tie_word_embeddings", true),
    headBias: false,
    dropout: fields.dropout("attn_pdrop", "embd_pdrop", "resid_pdrop"),
  };
}

function readLlama(fields: ConfigFields): Read {
  const nHead = fields.integer("num_attention_heads");
  const nEmbd = fields.integer("hidden_size");
  fields.only("hidden_act", [undefined, "silu"]);
  fields.only("rms_norm_eps", [1e-5]);
  fields.only("rope_theta", [undefined, 10000]);
  fields.only("rope_scaling", [undefined, null]);
  fields.only("rope_parameters", [undefined, null]);
  fields.only("rope_interleaved", [undefined, false]);
  fields.only("partial_rotary_factor", [undefined, 1]);
  fields.only("head_dim", [undefined, null, nEmbd / nHead]);
  const bias = fields.flag("attention_bias", false);
  fields.only("mlp_bias", bias ? [true] : [undefined, false]);
  fields.dropout("attention_dropout");
  return {
    vocabSize: fields.integer("vocab_size"),
    nLayer: fields.integer("num_hidden_layers"),
    nHead,
    nKvHead: fields.integer("num_key_value_heads", nHead),
    nEmbd,
    nHidden: fields.integer("intermediate_size"),
    position: "rope-half",
    norm: "rmsnorm",
    mlp: "swiglu",
    bias,
    tiedHead: fields.flag("tie_word_embeddings", false),
    headBias: false,
  };
}

/** Reads the fields of a `config.json`; a value that a model cannot have is refused by the field's name. */
class ConfigFields {
  readonly notes: string[] = [];
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(text: string) {
    this.#fields = jsonObject(text, "config.json");
  }

  #value(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
  }

  /** Refuses a field with another value than those given; undefined stands for a field that is not there. */
  only(name: string, values: readonly unknown[]): void {
    const value = this.#value(name);
    if (!values.includes(value)) throw this.#refused(name, value, values);
  }

  word<Word extends string>(
    name: string,
    words: readonly Word[],
    usual?: Word,
  ): Word {
    const value = this.#value(name) ?? usual;
    const word = words.find((word) => word === value);
    if (word === undefined) throw this.#refused(name, value, words);
    return word;
  }

  flag(name: string, usual: boolean): boolean {
    const value = this.#value(name) ?? usual;
    if (typeof value === "boolean") return value;
    throw this.#refused(name, value, [true, false]);
  }

  integer(name: string, usual?: number): number {
    const value = this.#value(name) ?? usual;
    if (Number.isSafeInteger(value)) return value as number;
    throw cannotImport(`config.json: ${name} is ${shown(value)}, no integer`);
  }

  /** Returns a dropout rate that several fields agree on; 0, with a note, if they differ. */
  dropout(...names: string[]): number {
    const rates = names.map((name) => this.#value(name) ?? 0);
    const [rate] = rates;
    const isWhole = names.length > 1 && rates.every((other) => other === rate);
    if (isWhole && typeof rate === "number") return rate;
    if (rates.every((rate) => rate === 0)) return 0;
    const given = names.map((name, i) => `${name} ${shown(rates[i])}`);
    this.notes.push(`left out, as dropout has one rate: ${given.join(", ")}`);
    return 0;
  }

  #refused(name: string, value: unknown, values: readonly unknown[]) {
    const known = values.filter((value) => value !== undefined).map(shown);
    return cannotImport(
      `config.json: ${name} is ${
        value === undefined ? "missing" : shown(value)
      }, and this program knows only ${known.join(" or ")}`,
    );
  }
}

function shown(value: unknown): string {
  return typeof value === "string"
    ? quote(value)
    : typeof value === "object" && value !== null
    ? "an object"
    : clip(String(value));
}
