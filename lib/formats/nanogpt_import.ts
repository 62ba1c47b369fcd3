/** Reads nanoGPT's `ckpt.pt` and `meta.pkl`. `nanogpt.ts` writes them and has the names. */

import { type ModelConfig, modelConfig } from "../config/model.ts";
import { trainConfig } from "../config/train.ts";
import { isRefusal } from "../refusal.ts";
import { END_OF_TEXT } from "../text/special.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import type { TrainingState } from "./checkpoint.ts";
import { ConfigFields } from "./config_fields.ts";
import { floatsOf } from "./floats.ts";
import {
  cannotImport,
  type FolderFiles,
  type Imported,
  padded,
} from "./imported.ts";
import {
  integers,
  moments,
  nanogptPlaces,
  numbers,
  optimized,
} from "./nanogpt.ts";
import { readPickle } from "./pickle.ts";
import type { TensorData } from "./safetensors.ts";
import { quote } from "./safetensors_header.ts";
import { joined, type Place } from "./tensor_map.ts";
import { openTorchFile, TorchTensor } from "./torch_file.ts";

/** Options of {@linkcode importNanogpt}. */
export interface NanogptOptions {
  /** Name of the checkpoint in the folder; `ckpt.pt` by default. */
  readonly file?: string | undefined;
  /** Tokenizer of the model; the characters in `meta.pkl` by default, if there is one. */
  readonly tokenizer?: Tokenizer | undefined;
}

/**
 * Reads a model from a folder with nanoGPT's `ckpt.pt`: weights, AdamW's moments, settings and step. Nothing in the
 * file is executed.
 *
 * @throws {SyntaxError} if the file is not nanoGPT's, is damaged, or holds anything but plain data and tensors
 */
export async function importNanogpt(
  folder: FolderFiles,
  { file = "ckpt.pt", tokenizer }: NanogptOptions = {},
): Promise<Imported> {
  const source = await folder.open(file);
  if (source === undefined) throw cannotImport(`there is no ${file}`);
  const content = dictOf(await openTorchFile(source), file);
  const config = readModelArgs(content);
  const known = tokenizer ?? await readMeta(folder);
  const notes: string[] = [];
  const tensors = await readWeights(content, config);
  const training = await readTraining(content, nanogptPlaces(config), {
    tensors,
    notes,
  });
  return {
    checkpoint: {
      config,
      tensors,
      tokenizer: known && padded(known, config),
      training,
    },
    notes,
  };
}

/** A dict of a pickle. */
type Dict = ReadonlyMap<unknown, unknown>;

function dictOf(value: unknown, name: string): Dict {
  if (value instanceof Map) return value;
  throw cannotImport(`${name} holds no dict, as nanoGPT's train.py writes it`);
}

/** Returns a dict that is an item of another. */
function partOf(content: Dict, name: string): Dict {
  return dictOf(content.get(name), `the item ${quote(name)}`);
}

function fieldsOf(content: Dict, name: string): ConfigFields {
  const fields = Object.fromEntries(
    [...partOf(content, name)].filter(([key]) => typeof key === "string"),
  );
  return new ConfigFields(fields, `${name}: `);
}

function readModelArgs(content: Dict): ModelConfig {
  const fields = fieldsOf(content, "model_args");
  try {
    return modelConfig({
      vocabSize: fields.integer("vocab_size"),
      blockSize: fields.integer("block_size"),
      nLayer: fields.integer("n_layer"),
      nHead: fields.integer("n_head"),
      nEmbd: fields.integer("n_embd"),
      bias: fields.flag("bias", true),
      dropout: fields.number("dropout", 0),
      position: "learned",
      norm: "layernorm",
      mlp: "gelu",
      tiedHead: true,
      headBias: false,
    });
  } catch (error) {
    if (!isRefusal(error) || error instanceof SyntaxError) throw error;
    throw cannotImport(`model_args is unusable: ${error.reason}`);
  }
}

async function readWeights(
  content: Dict,
  config: ModelConfig,
): Promise<Map<string, TensorData>> {
  const stored = new Map(
    [...partOf(content, "model")].map(([name, value]) => [
      // The names of a compiled model have one more prefix.
      typeof name === "string" ? name.replace(/^_orig_mod\./, "") : name,
      value,
    ]),
  );
  const tensors = new Map<string, TensorData>();
  for (const place of nanogptPlaces(config)) {
    tensors.set(
      place.name,
      await joined(place, (name) => {
        const tensor = stored.get(name);
        stored.delete(name);
        return tensor instanceof TorchTensor ? tensor.read() : undefined;
      }),
    );
  }
  // The head is the embedding; masks are those that PyTorch 1 needs.
  const other = [...stored.keys()].find((name) =>
    typeof name !== "string" ||
    !/^lm_head\.weight$|\.attn\.bias$/.test(name)
  );
  if (other === undefined) return tensors;
  throw cannotImport(
    `the tensor ${
      typeof other === "string" ? quote(other) : "without a name"
    } has no place in nanoGPT's model`,
  );
}

/** Returns step and settings, and adds the moments to the tensors; undefined if the optimizer has taken no step. */
async function readTraining(
  content: Dict,
  places: readonly Place[],
  { tensors, notes }: {
    readonly tensors: Map<string, TensorData>;
    readonly notes: string[];
  },
): Promise<TrainingState | undefined> {
  if (!content.has("optimizer")) return undefined;
  const optimizer = partOf(content, "optimizer");
  const state = partOf(optimizer, "state");
  if (state.size === 0) return undefined;
  const [matrices, vectors] = optimized(places);
  const groups = optimizer.get("param_groups");
  const counts = Array.isArray(groups)
    ? groups.map((group) => lengthOf(dictOf(group, "a group").get("params")))
    : [];
  if (counts.join() !== `${matrices.length},${vectors.length}`) {
    throw cannotImport(
      `the optimizer has groups of ${
        counts.join(" and ")
      } parameters, nanoGPT's of ${matrices.length} matrices and ${vectors.length} vectors`,
    );
  }
  const step = content.get("iter_num");
  const taken = await stepsTaken(dictOf(state.get(0), "state 0").get("step"));
  if (step !== taken) {
    notes.push(
      `left out the optimizer's moments: it took ${taken} steps, and iter_num is ${
        typeof step === "number" ? step : "not a number"
      }`,
    );
    return undefined;
  }
  for (const [number, place] of [...matrices, ...vectors].entries()) {
    const one = dictOf(state.get(number), `state ${number}`);
    for (const [own, theirs] of moments) {
      tensors.set(
        `optimizer.${own}.${place.name}`,
        await joined({
          ...place,
          parts: [{ name: theirs, rows: place.shape[0]!, heads: 0 }],
        }, (name) => {
          const tensor = one.get(name);
          return tensor instanceof TorchTensor ? tensor.read() : undefined;
        }),
      );
    }
  }
  return { step: taken, config: readSettings(content, groups as Dict[]) };
}

function lengthOf(list: unknown): number {
  return Array.isArray(list) ? list.length : 0;
}

/** Returns the steps that the optimizer has taken: a number, or a tensor since PyTorch 1.12. */
async function stepsTaken(step: unknown): Promise<number> {
  const value = step instanceof TorchTensor
    ? floatsOf("step", await step.read())[0]
    : step;
  if (Number.isSafeInteger(value) && (value as number) >= 0) {
    return value as number;
  }
  throw cannotImport("the optimizer's step is not a whole number");
}

/** Returns the settings of a training; those that the file lacks have nanoGPT's defaults. */
function readSettings(
  content: Dict,
  [matrices, vectors]: readonly Dict[],
): TrainingState["config"] {
  const fields = content.has("config")
    ? fieldsOf(content, "config")
    : new ConfigFields({}, "config: ");
  const betas = matrices!.get("betas");
  const [beta1, beta2] = Array.isArray(betas) ? betas : [];
  // The optimizer goes on with its own settings, whatever the configuration says.
  const decays = [matrices, vectors].map((group) => group!.get("weight_decay"));
  const usual = trainConfig({
    ...{ batchSize: 12, gradAccumulation: 40, maxSteps: 600000 },
    ...{ learningRate: 6e-4, minLearningRate: 6e-5, warmupSteps: 2000 },
    ...{ weightDecay: 0.1, beta2: 0.95, evalInterval: 2000 },
  });
  const read = (
    names: typeof integers | typeof numbers,
    type: "integer" | "number",
  ) =>
    Object.fromEntries(
      names.map(([own, theirs]) => [own, fields[type](theirs, usual[own])]),
    );
  try {
    return trainConfig({
      ...read(integers, "integer"),
      ...read(numbers, "number"),
      ...{ beta1, beta2 },
      eps: matrices!.get("eps") as number,
      optimizer: "adamw",
      weightDecay: decays[0] as number,
      decay: decays[1] === 0 ? "matrices" : "all",
      schedule: fields.flag("decay_lr", true) ? "cosine" : "constant",
      decaySteps: fields.integer("lr_decay_iters", 600000),
    });
  } catch (error) {
    if (!isRefusal(error) || error instanceof SyntaxError) throw error;
    throw cannotImport(`its settings are unusable: ${error.reason}`);
  }
}

/** Reads the characters in `meta.pkl`; undefined if there is no such file. */
async function readMeta(folder: FolderFiles): Promise<Tokenizer | undefined> {
  const source = await folder.open("meta.pkl");
  if (source === undefined) return undefined;
  const bytes = await source.read(0, source.size);
  const meta = dictOf(readPickle(bytes, { calls: new Map() }), "meta.pkl");
  const chars = partOf(meta, "itos");
  const list = Array.from({ length: chars.size }, (_, id) => chars.get(id));
  const endOfText = list.at(-1) === END_OF_TEXT;
  if (endOfText) list.pop();
  const isCharacters = list.every((char) =>
    typeof char === "string" && [...char].length === 1
  );
  if (!isCharacters) {
    throw cannotImport("itos of meta.pkl does not hold characters by id");
  }
  return Tokenizer.fromJSON({ kind: "chars", chars: list.join(""), endOfText });
}
