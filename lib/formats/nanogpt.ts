/**
 * Writes nanoGPT's `ckpt.pt` (karpathy/nanoGPT, train.py): the weights, AdamW's moments and the step, so that nanoGPT
 * continues the training. `nanogpt_import.ts` reads it.
 */

import type { ModelConfig } from "../config/model.ts";
import { trainConfig } from "../config/train.ts";
import { specialName } from "../text/special.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { ExportedFile } from "./exported.ts";
import { gpt2Places } from "./hf_places.ts";
import { partsOf, type Place } from "./tensor_map.ts";
import {
  type Pickled,
  pickleOf,
  PythonFloat,
  PythonTuple,
  SavedTensor,
  torchPieces,
} from "./torch_writer.ts";

/** Returns the places of the parameters, in the order of the modules: the optimizer counts in it. The names are GPT-2's. */
export function nanogptPlaces(config: ModelConfig): Place[] {
  return gpt2Places(config, false)
    .filter(({ name }) => config.bias || !name.endsWith(".bias"));
}

/** Returns the places in the optimizer's order: matrices, which decay, then vectors. */
export function optimized(places: readonly Place[]): [Place[], Place[]] {
  const isMatrix = ({ shape }: Place) => shape.length >= 2;
  return [
    places.filter(isMatrix),
    places.filter((place) => !isMatrix(place)),
  ];
}

/** Names of the moments, here and there. */
export const moments = [["m", "exp_avg"], ["v", "exp_avg_sq"]] as const;

/**
 * Returns the files of a folder that nanoGPT takes for its `out_dir`: `ckpt.pt`; `settings.py`, with which `train.py`
 * continues the training; and, for characters, `meta.pkl`.
 *
 * @param masks true for PyTorch 1, where nanoGPT's attention stores its masks
 */
export function nanogptFiles(
  checkpoint: Checkpoint,
  { masks }: { readonly masks: boolean },
): ExportedFile[] {
  const { config, training, tokenizer } = checkpoint;
  const places = nanogptPlaces(config);
  const saved = (place: Place, prefix = "") => {
    const name = prefix + place.name;
    const [part] = partsOf({ ...place, name }, checkpoint.tensors);
    return new SavedTensor(place.shape, part!.floats);
  };
  const model = new Map<string, Pickled>();
  for (const one of places) {
    const [{ name }] = one.parts as [typeof one.parts[number]];
    if (masks && name.endsWith("c_attn.weight")) {
      const mask = name.replace("c_attn.weight", "bias");
      model.set(mask, causalMask(config.blockSize));
    }
    model.set(name, saved(one));
  }
  model.set("lm_head.weight", model.get("transformer.wte.weight")!);
  const content = new Map<string, Pickled>([
    ["model", model],
    ["optimizer", optimizerState(checkpoint, places, saved)],
    [
      "model_args",
      dict({
        "n_layer": config.nLayer,
        "n_head": config.nHead,
        "n_embd": config.nEmbd,
        "block_size": config.blockSize,
        bias: config.bias,
        "vocab_size": config.vocabSize,
        dropout: new PythonFloat(config.dropout),
      }),
    ],
    ["iter_num", training?.step ?? 0],
    // As of a new training: the first evaluation is the best.
    ["best_val_loss", new PythonFloat(1e9)],
    ["config", settings(checkpoint)],
  ]);
  const chars = charactersOf(tokenizer);
  return [
    { name: "ckpt.pt", pieces: () => torchPieces(content) },
    {
      name: "settings.py",
      pieces: () => [new TextEncoder().encode(settingsFile(checkpoint))],
    },
    ...chars === undefined
      ? []
      : [{ name: "meta.pkl", pieces: () => [pickleOf(metaOf(chars))] }],
  ];
}

function dict(fields: Readonly<Record<string, Pickled>>): Map<string, Pickled> {
  return new Map(Object.entries(fields));
}

function causalMask(length: number): SavedTensor {
  const mask = new Float32Array(length * length);
  for (let i = 0; i < length; i++) {
    mask.fill(1, i * length, i * length + i + 1);
  }
  return new SavedTensor([1, 1, length, length], () => mask);
}

/** Returns the `state_dict` of PyTorch's AdamW; without moments if the model was trained by another optimizer. */
function optimizerState(
  { training, tensors }: Checkpoint,
  places: readonly Place[],
  saved: (place: Place, prefix: string) => SavedTensor,
): Pickled {
  const settings = training?.config ?? trainConfig();
  const groups = optimized(places);
  const ordered = groups.flat();
  const state = new Map<number, Pickled>();
  const hasMoments = training?.config.optimizer === "adamw" &&
    tensors.has(`optimizer.m.${ordered[0]!.name}`);
  if (hasMoments) {
    const step = Float32Array.of(training.step);
    ordered.forEach((place, number) =>
      state.set(
        number,
        new Map<string, Pickled>([
          ["step", new SavedTensor([], () => step)],
          ...moments.map(([own, theirs]) =>
            [theirs, saved(place, `optimizer.${own}.`)] as const
          ),
        ]),
      )
    );
  }
  let next = 0;
  const group = (places: readonly Place[], decay: number) =>
    dict({
      lr: new PythonFloat(settings.learningRate),
      betas: new PythonTuple([
        new PythonFloat(settings.beta1),
        new PythonFloat(settings.beta2),
      ]),
      eps: new PythonFloat(settings.eps),
      "weight_decay": new PythonFloat(decay),
      amsgrad: false,
      foreach: null,
      maximize: false,
      capturable: false,
      params: places.map(() => next++),
    });
  const [matrices, vectors] = groups;
  return new Map<string, Pickled>([
    ["state", state],
    ["param_groups", [
      group(matrices, settings.weightDecay),
      group(vectors, settings.decay === "all" ? settings.weightDecay : 0),
    ]],
  ]);
}

/** The settings of a training, by nanoGPT's names: integers, and floats. */
export const integers = [
  ["batchSize", "batch_size"],
  ["gradAccumulation", "gradient_accumulation_steps"],
  ["maxSteps", "max_iters"],
  ["warmupSteps", "warmup_iters"],
  ["evalInterval", "eval_interval"],
] as const;
export const numbers = [
  ["learningRate", "learning_rate"],
  ["minLearningRate", "min_lr"],
  ["weightDecay", "weight_decay"],
  ["beta1", "beta1"],
  ["beta2", "beta2"],
  ["gradClip", "grad_clip"],
] as const;

/** Returns the text of a configuration file for `train.py`. */
function settingsFile(checkpoint: Checkpoint): string {
  const lines = [
    ["init_from", "resume"],
    ["block_size", checkpoint.config.blockSize],
    ...settings(checkpoint),
  ].map(([name, value]) => {
    const shown = value instanceof PythonFloat ? value.value : value;
    const word = typeof shown === "boolean" ? (shown ? "True" : "False") : "";
    return `${name} = ${word || JSON.stringify(shown)}\n`;
  });
  return `# python train.py FOLDER/settings.py --out_dir=FOLDER\n${
    lines.join("")
  }`;
}

/** Returns `config` of a checkpoint, which nanoGPT's `sample.py` reads the data set's name from. */
function settings(
  { config, training }: Checkpoint,
): ReadonlyMap<string, Pickled> {
  const train = training?.config ?? trainConfig();
  return new Map<string, Pickled>([
    ["dataset", "lm"],
    ...integers.map(([own, theirs]) => [theirs, train[own]] as const),
    ...numbers.map(([own, theirs]) =>
      [theirs, new PythonFloat(train[own])] as const
    ),
    ["decay_lr", train.schedule !== "constant"],
    ["lr_decay_iters", train.decaySteps ?? train.maxSteps],
    ["dropout", new PythonFloat(config.dropout)],
  ]);
}

/** Returns the characters of a tokenizer, and the names of its special tokens, by id; undefined for other kinds. */
function charactersOf(tokenizer: Tokenizer | undefined): string[] | undefined {
  if (tokenizer?.kind !== "chars" && tokenizer?.kind !== "ascii") {
    return undefined;
  }
  return Array.from(
    { length: tokenizer.vocabSize },
    (_, id) => specialName(tokenizer, id) ?? tokenizer.decode([id]),
  );
}

function metaOf(chars: readonly string[]): Pickled {
  return new Map<string, Pickled>([
    ["vocab_size", chars.length],
    ["itos", new Map(chars.entries())],
    ["stoi", new Map(chars.map((char, id) => [char, id]))],
  ]);
}
