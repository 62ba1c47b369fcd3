/**
 * Models in Hugging Face's folders: `config.json`, safetensors and `tokenizer.json`, as transformers reads and
 * writes them. `hf_config.ts` has the configuration, `hf_places.ts` the tensors.
 */

import type { ModelConfig } from "../config/model.ts";
import { isRefusal } from "../refusal.ts";
import { endOfText } from "../text/special.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { ExportedFile, ExportSettings } from "./exported.ts";
import { type FloatType, narrowed } from "./floats.ts";
import { hfConfig, type ModelType, readHfConfig } from "./hf_config.ts";
import { gpt2Places, llamaPlaces } from "./hf_places.ts";
import {
  cannotImport,
  type FolderFiles,
  type Imported,
  jsonObject,
  padded,
} from "./imported.ts";
import {
  type Dtype,
  openSafetensors,
  type SafetensorsFile,
  safetensorsPieces,
  type TensorData,
  type TensorSource,
} from "./safetensors.ts";
import { quote } from "./safetensors_header.ts";
import {
  firstRows,
  joined,
  pairedAsHalf,
  partsOf,
  type Place,
  type PlacedTensor,
} from "./tensor_map.ts";
import { tokenizerJson } from "./tokenizer_json.ts";
import { readTokenizer } from "./tokenizers.ts";
import { openTorchFile, TorchTensor } from "./torch_file.ts";

const places: Readonly<
  Record<ModelType, (config: ModelConfig) => readonly Place[]>
> = {
  gpt2: gpt2Places,
  llama: llamaPlaces,
  qwen2: llamaPlaces,
  qwen3: llamaPlaces,
};

/** Returns the files of a folder that transformers loads. */
export function hfFiles(
  { config, tensors, tokenizer }: Checkpoint,
  { architecture, dtype }: ExportSettings,
): ExportedFile[] {
  const type = architecture.name as ModelType;
  const reorder = config.position === "rope" ? pairedAsHalf : undefined;
  const placed = places[type](config)
    .flatMap((place) => partsOf(place, tensors, reorder));
  const sources = new Map(
    placed.map((tensor) => [tensor.name, sourceOf(tensor, dtype)]),
  );
  const more = {
    "torch_dtype": torchTypes[dtype],
    "bos_token_id": null,
    "eos_token_id": (tokenizer && endOfText(tokenizer)) ?? null,
  };
  return [
    textFile("config.json", hfConfig(type, config, more)),
    {
      name: "model.safetensors",
      pieces: () => safetensorsPieces(sources, { format: "pt" }),
    },
    ...tokenizer === undefined ? [] : [
      textFile("tokenizer.json", tokenizerJson(tokenizer)),
      textFile(
        "tokenizer_config.json",
        JSON.stringify({
          "tokenizer_class": "PreTrainedTokenizerFast",
          "clean_up_tokenization_spaces": false,
          "model_max_length": config.blockSize,
        }),
      ),
    ],
  ];
}

const torchTypes: Readonly<Record<FloatType, string>> = {
  f32: "float32",
  f16: "float16",
  bf16: "bfloat16",
};

function textFile(name: string, text: string): ExportedFile {
  return { name, pieces: () => [new TextEncoder().encode(`${text}\n`)] };
}

function sourceOf(
  { name, shape, floats }: PlacedTensor,
  type: FloatType,
): TensorSource {
  return {
    shape,
    dtype: type.toUpperCase() as Dtype,
    data: () => type === "f32" ? floats() : narrowed(name, floats(), type),
  };
}

/** Options of {@linkcode importHf} and {@linkcode importGguf}. */
export interface ImportOptions {
  /** Longest context, at most the model's own. */
  readonly blockSize?: number | undefined;
  /** Tokenizer of the model; by default that in `tokenizer.json` or the GGUF file, if there is one. */
  readonly tokenizer?: Tokenizer | undefined;
}

/** Tensors that are no parameters: masks and frequencies that the architecture computes. */
const buffers = /\.attn\.(bias|masked_bias)$|\.rotary_emb\.inv_freq$/;

/**
 * Reads a model from a folder of Hugging Face's: GPT-2, Llama or Qwen, with weights of any float type in safetensors,
 * whole or in shards, or in `pytorch_model.bin`, of which nothing is executed; and the tokenizer in `tokenizer.json` if
 * there is one. The tensors are read one by one.
 *
 * @throws {SyntaxError} if a file is missing or damaged, or the model is one that this program cannot have
 */
export async function importHf(
  folder: FolderFiles,
  { blockSize, tokenizer }: ImportOptions = {},
): Promise<Imported> {
  const json = await textOf(folder, "config.json");
  if (json === undefined) throw cannotImport("there is no config.json");
  const { type, config, notes } = readHfConfig(json, blockSize);
  const known = tokenizer ?? await tokenizerIn(folder);
  const stored = await openWeights(folder);
  const tensors = new Map<string, TensorData>();
  for (const place of places[type](config)) {
    const limit = place.name === "wpe.weight" ? blockSize : undefined;
    tensors.set(
      place.name,
      await joined(place, (name) => stored.take(name, limit)),
    );
  }
  const unused = stored.unused().find((name) =>
    !buffers.test(name) && !(config.tiedHead && name === "lm_head.weight")
  );
  if (unused !== undefined) {
    throw cannotImport(
      `the tensor ${quote(unused)} has no place in the architecture ${type}`,
    );
  }
  return {
    checkpoint: { config, tensors, tokenizer: known && padded(known, config) },
    notes,
  };
}

async function tokenizerIn(
  folder: FolderFiles,
): Promise<Tokenizer | undefined> {
  const text = await textOf(folder, "tokenizer.json");
  try {
    return text === undefined ? undefined : readTokenizer(text);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw cannotImport(`tokenizer.json is unusable: ${error.reason}`);
  }
}

/** A file with weights, whose tensors are read one by one. */
type WeightsFile = Pick<SafetensorsFile, "names" | "read">;

/** The tensors of all files with weights. */
interface StoredTensors {
  /**
   * Reads a tensor; undefined if there is none. The base model's prefix may be missing from its name.
   *
   * @param rows reads at most so many rows
   */
  take(name: string, rows?: number): Promise<TensorData | undefined>;
  /** Returns the names of the tensors that were not taken. */
  unused(): string[];
}

const INDEX = "model.safetensors.index.json";

async function openWeights(folder: FolderFiles): Promise<StoredTensors> {
  const index = await textOf(folder, INDEX);
  const names = index === undefined ? ["model.safetensors"] : shardNames(index);
  const files = new Map<string, WeightsFile>();
  for (const name of names) {
    const source = await folder.open(name);
    const file = source === undefined
      ? await openStateDict(index === undefined ? folder : undefined, name)
      : await openSafetensors(source);
    for (const tensor of file.names) {
      if (files.has(tensor)) {
        throw cannotImport(`the tensor ${quote(tensor)} is in two files`);
      }
      files.set(tensor, file);
    }
  }
  const left = new Set(files.keys());
  return {
    async take(name, rows) {
      const short = name.replace(/^(transformer|model)\./, "");
      const found = [name, short].find((name) => files.has(name));
      if (found === undefined) return undefined;
      left.delete(found);
      const tensor = await files.get(found)!.read(found);
      return rows === undefined ? tensor : firstRows(tensor, rows);
    },
    unused: () => [...left],
  };
}

/**
 * Opens `pytorch_model.bin`, which older folders have in place of `model.safetensors`.
 *
 * @param folder undefined if the weights are in shards
 * @param missing name of the file that is not there
 */
async function openStateDict(
  folder: FolderFiles | undefined,
  missing: string,
): Promise<WeightsFile> {
  const source = await folder?.open("pytorch_model.bin");
  if (source === undefined) throw cannotImport(`there is no ${missing}`);
  const state = await openTorchFile(source);
  const tensors = new Map(
    (state instanceof Map ? [...state] : []).filter((entry) =>
      typeof entry[0] === "string" && entry[1] instanceof TorchTensor
    ) as [string, TorchTensor][],
  );
  return {
    names: new Set(tensors.keys()),
    read: (name) => tensors.get(name)!.read(),
  };
}

/** Returns the names of the files in an index, each once. */
function shardNames(text: string): string[] {
  const { "weight_map": map } = jsonObject(text, INDEX);
  const names = new Set(Object.values(Object(map)));
  if (names.size === 0) throw cannotImport(`${INDEX} has no weight_map`);
  for (const name of names) {
    // A path could lead out of the folder.
    if (
      typeof name === "string" && /^[\w-][\w.-]{0,200}\.safetensors$/.test(name)
    ) {
      continue;
    }
    throw cannotImport(
      `${INDEX} names ${
        typeof name === "string" ? quote(name) : typeof name
      }, which is not the name of a safetensors file in the folder`,
    );
  }
  return [...names] as string[];
}

/** Most bytes of a file of text; the largest published tokenizers have 35 MB. */
const MOST_TEXT = 2 ** 26;

/** Reads a file of text; undefined if there is none. */
async function textOf(
  folder: FolderFiles,
  name: string,
): Promise<string | undefined> {
  const source = await folder.open(name);
  if (source === undefined) return undefined;
  if (source.size > MOST_TEXT) {
    throw cannotImport(
      `${name} has ${source.size} bytes, the limit is ${MOST_TEXT}`,
    );
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(
      await source.read(0, source.size),
    );
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw cannotImport(`${name} is not UTF-8 text`);
  }
}
