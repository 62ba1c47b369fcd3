/**
 * Models as GGUF files, which llama.cpp and programs built on it run. `gguf_file.ts` writes the format of the file and
 * `gguf_reader.ts` reads it; `gguf_import.ts` reads models.
 */

import type { ModelConfig } from "../config/model.ts";
import {
  anything,
  type Architecture,
  architecture,
  derived,
  misfits,
  only,
} from "./architectures.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { ropeFrequencies } from "../config/rotary.ts";
import type { ExportedFile, ExportSettings } from "./exported.ts";
import { type FloatType, narrowed } from "./floats.ts";
import { gpt2Places, llamaPlaces } from "./hf_places.ts";
import {
  pairedAsHalf,
  pairedAsNeighbours,
  partsOf,
  type Place,
  place,
  type PlacedTensor,
  type Reorder,
} from "./tensor_map.ts";
import { refuser } from "../refusal.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { ggufPieces, type GgufTensor, type GgufValue } from "./gguf_file.ts";
import { endOf, ggufTokenizer } from "./gguf_tokenizer.ts";

/** The demands of architectures with rotary positions. */
const rotary = {
  position: only("rope", "rope-half"),
  norm: only("rmsnorm"),
  mlp: only("swiglu"),
  headSize: anything,
};

/** Architectures of llama.cpp. Biases that an architecture has and a model lacks are written as zeros. */
export const ggufArchitectures: readonly Architecture[] = [
  architecture("llama", {
    ...rotary,
    ropeScaling: anything,
    attentionBias: only("all", "none"),
  }),
  architecture("qwen2", {
    ...rotary,
    attentionBias: only("qkv", "none"),
    mlpBias: only(false),
    headBias: anything,
  }),
  architecture("qwen3", {
    ...rotary,
    qkNorm: only(true),
    qkNormGain: anything,
    attentionBias: only("none"),
    mlpBias: only(false),
  }),
  architecture("gpt2", {
    nKvHead: derived("nHead", ({ nHead }) => nHead),
    mlp: only("geluTanh"),
  }),
];

/** llama.cpp's names of tensors, in place of transformers'. */
const names: readonly (readonly [RegExp, string])[] = [
  [/^(model|transformer)\./, ""],
  [/^(layers|h)\./, "blk."],
  [/^(embed_tokens|wte)\b/, "token_embd"],
  [/^wpe\b/, "position_embd"],
  [/\b(input_layernorm|ln_1)\b/, "attn_norm"],
  [/\bself_attn\.([qkv])_proj\b/, "attn_$1"],
  [/\bself_attn\.([qk])_norm\b/, "attn_$1_norm"],
  [/\battn\.c_attn\b/, "attn_qkv"],
  [/\b(self_attn\.o_proj|attn\.c_proj)\b/, "attn_output"],
  [/\b(post_attention_layernorm|ln_2)\b/, "ffn_norm"],
  [/\bmlp\.(up_proj|c_fc)\b/, "ffn_up"],
  [/\bmlp\.gate_proj\b/, "ffn_gate"],
  [/\bmlp\.(down_proj|c_proj)\b/, "ffn_down"],
  [/^(norm|ln_f)\b/, "output_norm"],
  [/^lm_head\b/, "output"],
];

function nameOf(name: string): string {
  return names.reduce((name, [from, to]) => name.replace(from, to), name);
}

const cannotExport = refuser(RangeError, "export to gguf");

/** Names of the values that hold the model's own configuration and tokenizer as JSON, which other programs pass over. */
export const OWN_CONFIG = "lm.config";
export const OWN_TOKENIZER = "lm.tokenizer";

/** Returns the file that llama.cpp loads. */
export function ggufFiles(
  { config, tensors, tokenizer }: Checkpoint,
  { architecture, dtype }: ExportSettings,
): ExportedFile[] {
  if (tokenizer === undefined) throw cannotExport("the model has no tokenizer");
  const name = endOf(tokenizer) === undefined
    ? nameWithOutputBias(architecture, config)
    : architecture.name;
  const json = tokenizer.toJSON();
  const values = new Map<string, GgufValue>([
    ["general.architecture", name],
    ["general.name", "lm"],
    ["general.file_type", fileTypes[dtype]],
    ...ggufValues(name, config, tokenizer),
    [OWN_CONFIG, JSON.stringify(config)],
  ]);
  // Byte pairs are in the file's own values.
  if (json.kind !== "bpe") values.set(OWN_TOKENIZER, JSON.stringify(json));
  const written = ggufTensors(name, { config, tensors, tokenizer });
  return [{
    name: "model.gguf",
    pieces: () =>
      ggufPieces(values, written.map((tensor) => typed(tensor, dtype))),
  }];
}

/** Returns the values of a file that describe a model and its tokenizer. */
export function ggufValues(
  architecture: string,
  config: ModelConfig,
  tokenizer: Tokenizer,
): Map<string, GgufValue> {
  const end = endOf(tokenizer);
  const vocabSize = config.vocabSize + (end === undefined ? 1 : 0);
  const values = valuesOf(architecture, { ...config, vocabSize });
  return new Map([
    ...Object.entries(values)
      .map(([key, value]) => [`${architecture}.${key}`, value] as const),
    ...ggufTokenizer(tokenizer, end ?? config.vocabSize),
  ]);
}

/** Returns the tensors of a file; a tokenizer that has no token to end texts gets one, which is never sampled. */
export function ggufTensors(
  architecture: string,
  { config, tensors, tokenizer }: Pick<
    Checkpoint,
    "config" | "tensors" | "tokenizer"
  >,
): PlacedTensor[] {
  const { toFile } = reordering(architecture, config);
  const placed = ggufPlaces(architecture, config)
    .flatMap((place) => partsOf(place, tensors, toFile));
  if (config.ropeScaling !== null) placed.push(ropeDivisors(config));
  return tokenizer !== undefined && endOf(tokenizer) === undefined
    ? withMaskedToken(placed, config)
    : placed;
}

/** Numbers of float types in `general.file_type`: all of it, or most of it. */
const fileTypes: Readonly<Record<FloatType, number>> = {
  f32: 0,
  f16: 1,
  bf16: 32,
};

/** Returns the settings of an architecture, whose names begin with the architecture's. */
function valuesOf(
  architecture: string,
  config: ModelConfig,
): Record<string, GgufValue> {
  const { nEmbd, nHead, nKvHead, headSize, normEps } = config;
  const sizes = {
    "vocab_size": config.vocabSize,
    "context_length": config.blockSize,
    "embedding_length": nEmbd,
    "block_count": config.nLayer,
    "feed_forward_length": config.nHidden,
    "attention.head_count": nHead,
    "attention.head_count_kv": nKvHead,
  };
  return architecture === "gpt2"
    ? { ...sizes, "attention.layer_norm_epsilon": { float: normEps } }
    : {
      ...sizes,
      "attention.key_length": headSize,
      "attention.value_length": headSize,
      "attention.layer_norm_rms_epsilon": { float: normEps },
      "rope.dimension_count": headSize,
      "rope.freq_base": { float: config.ropeTheta },
    };
}

/** Returns the places of the parameters. */
export function ggufPlaces(
  architecture: string,
  config: ModelConfig,
): Place[] {
  const { vocabSize, headBias } = config;
  const isQwen2 = architecture === "qwen2";
  const places = architecture === "gpt2"
    ? gpt2Places(config).map((place) => ({ ...place, transposed: false }))
    : llamaPlaces(isQwen2 ? { ...config, attentionBias: "qkv" } : config)
      .map((place) => isQwen2 ? { ...place, absent: 0 } : place);
  if (headBias) places.push(place("lm_head.bias", [vocabSize], "output.bias"));
  return places.map((place) => ({
    ...place,
    parts: place.parts.map((part) => ({ ...part, name: nameOf(part.name) })),
  }));
}

/**
 * Returns how the rows of a query or key head are reordered to and from a file, if they are. llama.cpp's `llama` rotates
 * neighbours as `rope` does, its `qwen2` and `qwen3` rotate as `rope-half`.
 */
export function reordering(
  architecture: string,
  { position }: ModelConfig,
): {
  readonly toFile?: Reorder | undefined;
  readonly fromFile?: Reorder | undefined;
} {
  if (position === "rope-half" && architecture === "llama") {
    return { toFile: pairedAsNeighbours, fromFile: pairedAsHalf };
  }
  if (position === "rope" && architecture !== "llama") {
    return { toFile: pairedAsHalf, fromFile: pairedAsNeighbours };
  }
  return {};
}

/** Name of the tensor by which llama.cpp divides rotary frequencies. */
export const ROPE_DIVISORS = "rope_freqs.weight";

/** Returns the tensor by which llama.cpp divides rotary frequencies, shape (HS/2). */
export function ropeDivisors(config: ModelConfig): PlacedTensor {
  return {
    name: ROPE_DIVISORS,
    shape: [config.headSize / 2],
    floats: () => {
      const scaled = ropeFrequencies(config);
      return Float32Array.from(
        ropeFrequencies({ ...config, ropeScaling: null }),
        (frequency, i) => frequency / scaled[i]!,
      );
    },
  };
}

/** Returns a tensor in the type that it has in the file: vectors and the table of positions have 32 bits. */
function typed(
  { name, shape, floats }: PlacedTensor,
  dtype: FloatType,
): GgufTensor {
  const type = shape.length < 2 || name === "position_embd.weight"
    ? "f32"
    : dtype;
  const data = type === "f32" ? floats : () => narrowed(name, floats(), type);
  return { name, shape, type, data };
}

/**
 * Returns the name of the architecture that can mask a token which the model does not have.
 *
 * @throws {RangeError} if none can
 */
function nameWithOutputBias(
  { name }: Architecture,
  config: ModelConfig,
): string {
  const masks = ggufArchitectures.find(({ name }) => name === "qwen2")!;
  if (misfits(masks, config).length === 0) return masks.name;
  throw cannotExport(
    `none of its characters can end a text, and llama.cpp's ${name} cannot leave out one that is added`,
    {
      hint:
        "the tokenizers ascii, bytes and bpe have a token that can, and so has one made for documents",
    },
  );
}

/** A logit that no sampler takes. */
const NEVER = -1e30;

/** Adds a token to a model, which is never sampled. */
function withMaskedToken(
  tensors: readonly PlacedTensor[],
  { vocabSize }: ModelConfig,
): PlacedTensor[] {
  const longer = ({ name, shape, floats }: PlacedTensor, added: number) => ({
    name,
    shape: shape.with(0, vocabSize + 1),
    floats: () => {
      const known = floats();
      const width = known.length / vocabSize;
      const all = new Float32Array(known.length + width).fill(added);
      all.set(known);
      return all;
    },
  });
  const bias = tensors.find(({ name }) => name === "output.bias") ?? {
    name: "output.bias",
    shape: [vocabSize],
    floats: () => new Float32Array(vocabSize),
  };
  const others = tensors.filter(({ name }) => name !== "output.bias");
  return [
    ...others.map((tensor) =>
      /^(token_embd|output)\.weight$/.test(tensor.name)
        ? longer(tensor, 0)
        : tensor
    ),
    longer(bias, NEVER),
  ];
}
