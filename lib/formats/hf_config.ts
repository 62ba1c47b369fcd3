/** Hugging Face's `config.json`: to and from the configuration of a model. */

import {
  type ModelConfig,
  modelConfig,
  type ModelOptions,
} from "../config/model.ts";
import { isRefusal } from "../refusal.ts";
import { ConfigFields } from "./config_fields.ts";
import { cannotImport, jsonObject } from "./imported.ts";

/** Architectures that are read and written, by `model_type`, with transformers' names. */
const classes = {
  gpt2: "GPT2LMHeadModel",
  llama: "LlamaForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
} as const;

/** Name of an architecture: `model_type` of `config.json`. */
export type ModelType = keyof typeof classes;

/** A configuration that was read. */
export interface ReadConfig {
  readonly type: ModelType;
  readonly config: ModelConfig;
  /** Training settings that were left out, in words. */
  readonly notes: readonly string[];
}

/** The fields that Python reads as floats, and strict readers not as integers. */
const floats =
  /("(?:\w+_pdrop|attention_dropout|rope_theta|factor|\w+_freq_factor)": \d+)(?=[,\n])/g;

/**
 * Returns the text of a `config.json`.
 *
 * @param more fields that the architecture does not know
 */
export function hfConfig(
  type: ModelType,
  config: ModelConfig,
  more: Readonly<Record<string, unknown>>,
): string {
  const fields = {
    architectures: [classes[type]],
    "model_type": type,
    "vocab_size": config.vocabSize,
    "tie_word_embeddings": config.tiedHead,
    ...type === "gpt2" ? gpt2Fields(config) : llamaFields(type, config),
    ...more,
  };
  return JSON.stringify(fields, null, 2).replace(floats, "$1.0");
}

function gpt2Fields(config: ModelConfig): object {
  return {
    "n_positions": config.blockSize,
    "n_layer": config.nLayer,
    "n_head": config.nHead,
    "n_embd": config.nEmbd,
    "n_inner": config.nHidden,
    "activation_function": Object.keys(activations)
      .find((name) => activations[name] === config.mlp),
    "layer_norm_epsilon": config.normEps,
    "scale_attn_weights": config.attentionScale,
    "attn_pdrop": config.dropout,
    "embd_pdrop": config.dropout,
    "resid_pdrop": config.dropout,
  };
}

function llamaFields(type: ModelType, config: ModelConfig): object {
  const { ropeScaling, attentionBias } = config;
  return {
    "max_position_embeddings": config.blockSize,
    "num_hidden_layers": config.nLayer,
    "num_attention_heads": config.nHead,
    "num_key_value_heads": config.nKvHead,
    "hidden_size": config.nEmbd,
    "intermediate_size": config.nHidden,
    "hidden_act": "silu",
    "rms_norm_eps": config.normEps,
    "rope_theta": config.ropeTheta,
    "rope_scaling": ropeScaling === null ? null : {
      "rope_type": "llama3",
      factor: ropeScaling,
      ...llama3,
      "original_max_position_embeddings": config.ropeContext,
    },
    ...type !== "qwen2" && {
      "head_dim": config.headSize,
      "attention_bias": attentionBias === "all",
    },
    ...type === "llama" && { "mlp_bias": config.mlpBias },
  };
}

/** The part of Llama 3's scaling that is the same in all its models. */
const llama3 = { "low_freq_factor": 1, "high_freq_factor": 4 };

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
 * @throws {SyntaxError} if it is not a configuration, or asks for something that a model cannot have; the message names the field
 */
export function readHfConfig(
  text: string,
  blockSize: number | undefined,
): ReadConfig {
  const fields = new ConfigFields(
    jsonObject(text, "config.json"),
    "config.json: ",
  );
  const type = fields.word("model_type", Object.keys(classes) as ModelType[]);
  fields.only("quantization_config", [undefined, null]);
  const read = type === "gpt2" ? readGpt2(fields) : readLlama(type, fields);
  const most = read.blockSize!;
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

function readGpt2(fields: ConfigFields): ModelOptions {
  fields.only("scale_attn_by_inverse_layer_idx", [undefined, false]);
  fields.only("add_cross_attention", [undefined, false]);
  const nEmbd = fields.integer("n_embd");
  const mlp = fields.word(
    "activation_function",
    Object.keys(activations),
    "gelu_new",
  );
  return {
    vocabSize: fields.integer("vocab_size"),
    blockSize: fields.integer("n_positions"),
    nLayer: fields.integer("n_layer"),
    nHead: fields.integer("n_head"),
    nEmbd,
    nHidden: fields.integer("n_inner", 4 * nEmbd),
    position: "learned",
    norm: "layernorm",
    normEps: fields.number("layer_norm_epsilon", 1e-5),
    mlp: activations[mlp]!,
    attentionScale: fields.flag("scale_attn_weights", true),
    bias: true,
    tiedHead: fields.flag("tie_word_embeddings", true),
    headBias: false,
    dropout: fields.dropout("attn_pdrop", "embd_pdrop", "resid_pdrop"),
  };
}

function readLlama(type: ModelType, fields: ConfigFields): ModelOptions {
  const nHead = fields.integer("num_attention_heads");
  const nEmbd = fields.integer("hidden_size");
  fields.only("hidden_act", [undefined, "silu"]);
  fields.only("rope_interleaved", [undefined, false]);
  fields.only("partial_rotary_factor", [undefined, 1]);
  fields.only("use_sliding_window", [undefined, false]);
  fields.all("layer_types", "full_attention");
  fields.dropout("attention_dropout");
  const attentionBias = type === "qwen2"
    ? "qkv"
    : fields.flag("attention_bias", false)
    ? "all"
    : "none";
  if (type !== "llama") fields.only("mlp_bias", [undefined, false]);
  return {
    vocabSize: fields.integer("vocab_size"),
    blockSize: fields.integer("max_position_embeddings"),
    nLayer: fields.integer("num_hidden_layers"),
    nHead,
    nKvHead: fields.integer("num_key_value_heads", nHead),
    nEmbd,
    headSize: fields.has("head_dim")
      ? fields.integer("head_dim")
      : type === "qwen3"
      ? 128
      : undefined,
    nHidden: fields.integer("intermediate_size"),
    position: "rope-half",
    ...readRotation(fields),
    norm: "rmsnorm",
    normEps: fields.number("rms_norm_eps", 1e-6),
    mlp: "swiglu",
    bias: false,
    qkNorm: type === "qwen3",
    qkNormGain: type === "qwen3",
    attentionBias,
    mlpBias: fields.flag("mlp_bias", false),
    tiedHead: fields.flag("tie_word_embeddings", false),
    headBias: false,
  };
}

/** Reads the rotary frequencies, which transformers 5 has in `rope_parameters` and 4 in two fields. */
function readRotation(fields: ConfigFields): Partial<ModelConfig> {
  const name = ["rope_parameters", "rope_scaling"]
    .find((name) => fields.has(name));
  const theta = fields.number("rope_theta", 10000);
  if (name === undefined) return { ropeTheta: theta };
  const scaling = fields.object(name);
  const ropeTheta = scaling.number("rope_theta", theta);
  const kind = scaling.word(
    scaling.has("rope_type") ? "rope_type" : "type",
    ["default", "llama3"],
  );
  if (kind === "default") return { ropeTheta };
  for (const [name, value] of Object.entries(llama3)) {
    scaling.only(name, [value]);
  }
  return {
    ropeTheta,
    ropeScaling: scaling.number("factor"),
    ropeContext: scaling.integer("original_max_position_embeddings"),
  };
}
