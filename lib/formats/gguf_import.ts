/** Reads models from GGUF files. `gguf.ts` writes them and has the names. */

import {
  type ModelConfig,
  modelConfig,
  type ModelOptions,
} from "../config/model.ts";
import { ropeFrequencies } from "../config/rotary.ts";
import { isRefusal } from "../refusal.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { misfits } from "./architectures.ts";
import { ConfigFields } from "./config_fields.ts";
import { floatsOf } from "./floats.ts";
import {
  ggufArchitectures,
  ggufPlaces,
  ggufTensors,
  ggufValues,
  OWN_CONFIG,
  OWN_TOKENIZER,
  reordering,
  ROPE_DIVISORS,
  ropeDivisors,
} from "./gguf.ts";
import type { GgufValue } from "./gguf_file.ts";
import { type GgufFile, type GgufRead, openGguf } from "./gguf_reader.ts";
import { endOf, readGgufTokenizer } from "./gguf_tokenizer.ts";
import type { ImportOptions } from "./hf.ts";
import { cannotImport, type Imported, jsonObject, padded } from "./imported.ts";
import type { ByteSource, TensorData } from "./safetensors.ts";
import { quote } from "./safetensors_header.ts";
import { firstRows, joined } from "./tensor_map.ts";

/**
 * Reads a model from a GGUF file: Llama, Qwen 2 and 3 or GPT-2, with weights of 32 or 16 bits, or quantized as Q8_0, Q4_0
 * or Q6_K; and its tokenizer, if that is byte-level byte pair encoding. A file that was exported here gives the same model
 * again. The tensors are read one by one, and held as 32-bit floats.
 *
 * @throws {SyntaxError} if the file is damaged, or the model is one that this program cannot have
 */
export async function importGguf(
  source: ByteSource,
  { blockSize, tokenizer }: ImportOptions = {},
): Promise<Imported> {
  const file = await openGguf(source);
  const { values, shapes } = file;
  const name = new ConfigFields(Object.fromEntries(values), "").word(
    "general.architecture",
    ggufArchitectures.map(({ name }) => name),
  );
  const own = ownModel(name, values);
  const whole = own?.config ?? await readConfig(name, file);
  if (blockSize !== undefined && blockSize > whole.blockSize) {
    throw cannotImport(
      `blockSize ${blockSize} is above the model's own, ${whole.blockSize}`,
    );
  }
  const config = { ...whole, blockSize: blockSize ?? whole.blockSize };
  const known = tokenizer ?? own?.tokenizer ?? readGgufTokenizer(values);
  const { vocabSize } = config;
  const hasAddedToken = own !== undefined && endOf(own.tokenizer) === undefined;
  const left = new Set(shapes.keys());
  const take = async (part: string) => {
    if (!left.delete(part)) return undefined;
    const tensor = await file.read(part);
    const isLonger = hasAddedToken && tensor.shape[0] === vocabSize + 1 &&
      /^(token_embd|output)\./.test(part);
    return isLonger
      ? firstRows(tensor, vocabSize)
      : part === "position_embd.weight"
      ? firstRows(tensor, config.blockSize)
      : tensor;
  };
  const { fromFile } = reordering(name, config);
  const tensors = new Map<string, TensorData>();
  for (const place of ggufPlaces(name, config)) {
    if (!hasParameter(place.name, config)) continue;
    tensors.set(place.name, await joined(place, take, fromFile));
  }
  const exported = ggufTensors(name, { config, tensors, ...own });
  for (const part of left) {
    // An export writes more than the parameters: zeros for biases that a model lacks, divisors of rotary frequencies.
    const more = exported.find((tensor) => tensor.name === part)?.floats();
    if (more !== undefined && isNear(await floats(file, part), more)) continue;
    throw cannotImport(
      `the tensor ${quote(part)} has no place in the architecture ${name}`,
    );
  }
  return {
    checkpoint: { config, tensors, tokenizer: known && padded(known, config) },
    notes: values.get("tokenizer.ggml.add_bos_token") === true
      ? [
        "left out: llama.cpp puts a token at the beginning of each text (tokenizer.ggml.add_bos_token)",
      ]
      : [],
  };
}

/** Returns whether a model has a parameter that other models of its architecture have. */
function hasParameter(
  name: string,
  { bias, attentionBias, mlpBias, qkNormGain }: ModelConfig,
): boolean {
  if (/\.[qk]_norm\./.test(name)) return qkNormGain;
  if (!name.endsWith(".bias") || name === "lm_head.bias") return true;
  if (name.includes(".c_attn.")) return attentionBias !== "none";
  if (name.includes(".attn.")) return attentionBias === "all";
  return name.includes(".mlp.") ? mlpBias : bias;
}

async function floats(file: GgufFile, name: string): Promise<Float32Array> {
  return floatsOf(name, await file.read(name));
}

/** Relative difference of numbers that other programs computed in 32 bits. */
const TOLERANCE = 1e-5;

function isNear(found: Float32Array, expected: Float32Array): boolean {
  return found.length === expected.length &&
    found.every((value, i) =>
      Math.abs(value - expected[i]!) <= TOLERANCE * Math.abs(expected[i]!)
    );
}

/**
 * Returns the configuration and the tokenizer that an export put into the file as they are, which say more than
 * llama.cpp's values; undefined if there are none.
 *
 * @throws {SyntaxError} if they contradict the file's other values
 */
function ownModel(
  name: string,
  values: ReadonlyMap<string, GgufRead>,
): { readonly config: ModelConfig; readonly tokenizer: Tokenizer } | undefined {
  if (!values.has(OWN_CONFIG)) return undefined;
  const json = (key: string) => jsonObject(String(values.get(key)), key);
  const config = usable(
    OWN_CONFIG,
    () => modelConfig(json(OWN_CONFIG) as unknown as ModelOptions),
  );
  const tokenizer = values.has(OWN_TOKENIZER)
    ? usable(OWN_TOKENIZER, () => Tokenizer.fromJSON(json(OWN_TOKENIZER)))
    : readGgufTokenizer(values);
  const architecture = ggufArchitectures.find((one) => one.name === name)!;
  if (tokenizer === undefined || tokenizer.vocabSize !== config.vocabSize) {
    throw cannotImport(
      `${OWN_CONFIG} has ${config.vocabSize} tokens, the tokenizer ${
        tokenizer?.vocabSize ?? "none"
      }`,
    );
  }
  for (const { field } of misfits(architecture, config)) {
    throw cannotImport(`${OWN_CONFIG}: ${field} contradicts ${name}`);
  }
  for (const [key, value] of ggufValues(name, config, tokenizer)) {
    if (!isSame(value, values.get(key))) {
      throw cannotImport(`${OWN_CONFIG} contradicts ${key}`);
    }
  }
  return { config, tokenizer };
}

/** Reads a part of a file; what is wrong with it becomes an error of the import. */
function usable<Value>(name: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw cannotImport(`${name} is unusable: ${error.reason}`);
  }
}

/** Returns whether a value that would be written is one that was read. */
function isSame(written: GgufValue, read: GgufRead | undefined): boolean {
  if (typeof written !== "object") return written === read;
  if ("float" in written) return Math.fround(written.float) === read;
  return Array.isArray(read) && written.length === read.length &&
    read.every((entry, i) => entry === written[i]);
}

/** Reads llama.cpp's values and sees which tensors there are. */
async function readConfig(name: string, file: GgufFile): Promise<ModelConfig> {
  const prefix = `${name}.`;
  const values = [...file.values].filter(([key]) => key.startsWith(prefix))
    .map(([key, value]) => [key.slice(prefix.length), value] as const);
  const fields = new ConfigFields(Object.fromEntries(values), prefix);
  new ConfigFields(Object.fromEntries(file.values), "")
    .only("split.count", [undefined, 0, 1]);
  for (const [key] of values) {
    if (!knownValues.has(key)) fields.only(key, [0, false, ""]);
  }
  const shape = (tensor: string) => file.shapes.get(tensor);
  const has = (tensor: string) => shape(tensor) !== undefined;
  const nEmbd = fields.integer("embedding_length");
  const nHead = fields.integer("attention.head_count");
  const common = {
    vocabSize: shape("token_embd.weight")?.[0] ?? 0,
    blockSize: fields.integer("context_length"),
    nLayer: fields.integer("block_count"),
    nHead,
    nEmbd,
    nHidden: fields.integer("feed_forward_length"),
    tiedHead: !has("output.weight"),
    headBias: has("output.bias"),
  };
  if (common.vocabSize === 0) {
    throw cannotImport('the tensor "token_embd.weight" is missing');
  }
  if (name === "gpt2") {
    return usable(name, () =>
      modelConfig({
        ...{ ...common, position: "learned", norm: "layernorm" },
        ...{ mlp: "geluTanh", bias: true },
        normEps: fields.number("attention.layer_norm_epsilon"),
      }));
  }
  const headSize = fields.integer(
    "attention.key_length",
    Math.floor(nEmbd / nHead),
  );
  for (const size of ["attention.value_length", "rope.dimension_count"]) {
    fields.only(size, [undefined, headSize]);
  }
  fields.only("rope.scaling.type", [undefined, "none"]);
  const config = usable(name, () =>
    modelConfig({
      ...common,
      nKvHead: fields.integer("attention.head_count_kv", nHead),
      headSize,
      position: "rope-half",
      ropeTheta: fields.number("rope.freq_base", 10000),
      norm: "rmsnorm",
      normEps: fields.number("attention.layer_norm_rms_epsilon"),
      mlp: "swiglu",
      bias: false,
      attentionBias: has("blk.0.attn_output.bias")
        ? "all"
        : has("blk.0.attn_q.bias")
        ? "qkv"
        : "none",
      mlpBias: has("blk.0.ffn_up.bias"),
      qkNorm: has("blk.0.attn_q_norm.weight"),
      qkNormGain: has("blk.0.attn_q_norm.weight"),
    }));
  const { demands } = ggufArchitectures.find((one) => one.name === name)!;
  for (const field of ["attentionBias", "mlpBias", "qkNorm"] as const) {
    if (demands[field].met(config[field], config)) continue;
    throw cannotImport(
      `its tensors ask for ${field} ${config[field]}, and ${name} has ${
        demands[field].takes
      }`,
    );
  }
  if (!has(ROPE_DIVISORS)) return config;
  return withScaling(config, await floats(file, ROPE_DIVISORS));
}

/** The values of architectures that are read, or that matter to no model that is. */
const knownValues: ReadonlySet<string> = new Set([
  ...["context_length", "embedding_length", "block_count", "vocab_size"],
  ...["feed_forward_length", "attention.head_count", "rope.freq_base"],
  ...["attention.head_count_kv", "attention.layer_norm_epsilon"],
  ...["attention.layer_norm_rms_epsilon", "attention.key_length"],
  ...["attention.value_length", "rope.dimension_count", "rope.scaling.type"],
  ...["tensor_data_layout", "rope.scaling.original_context_length"],
]);

/**
 * Returns a configuration with Llama 3's scaling, which llama.cpp has as divisors of the frequencies: the factor is the
 * largest, and the context that of a pair between the two limits, or one for which every pair is beyond a limit.
 */
function withScaling(
  config: ModelConfig,
  divisors: Float32Array,
): ModelConfig {
  const ropeScaling = divisors.reduce((a, b) => Math.max(a, b), 1);
  const frequencies = ropeFrequencies({ ...config, ropeScaling: null });
  const contexts = Array.from(frequencies, (frequency, i) => {
    const kept = (1 / divisors[i]! - 1 / ropeScaling) / (1 - 1 / ropeScaling);
    const context = (1 + 3 * kept) * 2 * Math.PI / frequency;
    return [Math.floor(context), Math.ceil(context)];
  });
  for (const ropeContext of [config.ropeContext, ...contexts.flat()]) {
    const scaled = { ...config, ropeScaling, ropeContext };
    const isPossible = ropeContext > 0 && ropeContext < 2 ** 31;
    if (isPossible && isNear(divisors, ropeDivisors(scaled).floats())) {
      return scaled;
    }
  }
  throw cannotImport(
    `the tensor ${quote(ROPE_DIVISORS)} is not Llama 3's scaling`,
  );
}
