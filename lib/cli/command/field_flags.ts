/** The flags of the configuration fields, made from the fields' table: a field without a line of help here does not compile. */

import {
  type ModelConfig,
  modelConfig,
  type TrainConfig,
  trainConfig,
} from "../../config.ts";
import {
  fieldRanges,
  type FieldType,
  modelFields,
  trainFields,
} from "../../config_fields.ts";
import { DEFAULT_PRESET, presets } from "../../presets.ts";
import {
  choice,
  type Flag,
  type FlagsOf,
  type FlagText,
  integer,
  number,
  numberOrOff,
  toggle,
} from "./flag.ts";

const modelHelp: Readonly<Record<keyof ModelConfig, string>> = {
  vocabSize: "number of tokens; must be the tokenizer's",
  blockSize: "longest context, in tokens",
  nLayer: "number of blocks",
  nHead: "query heads; --n-embd must be a multiple of it",
  nKvHead: "key/value heads; --n-head must be a multiple of it",
  nEmbd: "width of the residual stream",
  nHidden: "width of the MLP",
  position: "position encoding",
  norm: "kind of normalisation",
  normPlacement:
    "pre: normalise before attention and MLP; post: after each residual sum",
  mlp: "activation of the MLP; none: blocks have no MLP",
  attention: "whether blocks have attention",
  qkNorm: "divide queries and keys by their root mean square",
  attentionScale: "divide attention scores by the square root of the head size",
  mask:
    "how attention scores of later tokens are masked; all but causal are for study",
  maskValue: "the score that --mask finite writes",
  residual: "residual connections",
  bias: "biases in linear maps and layer norms",
  tiedHead: "use the token embedding as the head's matrix",
  headBias: "a bias in the head",
  dropout: "dropout rate, from 0 to below 1",
  labelSmoothing:
    "share of the target's probability that is spread over all tokens",
  logitSoftcap: "logits become cap * tanh(logits / cap)",
  init: "initial values: GPT-2's, or PyTorch's defaults",
};

const trainHelp: Readonly<Record<keyof TrainConfig, string>> = {
  batchSize: "sequences in a micro-batch",
  gradAccumulation: "micro-batches in a step",
  maxSteps: "optimizer steps",
  learningRate: "the highest learning rate",
  minLearningRate:
    "learning rate at the end of the cosine and linear schedules",
  warmupSteps: "steps of linear warm-up",
  decaySteps: "step at which the cosine and linear schedules end; off: --steps",
  schedule: "shape of the learning rate after the warm-up",
  optimizer: "AdamW, SGD with momentum, or Muon for the blocks' matrices",
  muonLearningRate:
    "Muon: the highest learning rate of the blocks' matrices; same schedule",
  momentum: "Muon, SGD: decay of the momentum",
  beta1: "AdamW: decay of the first moment",
  beta2: "AdamW: decay of the second moment",
  eps: "AdamW: added to the root of the second moment",
  weightDecay: "weight decay; each step multiplies it by the learning rate",
  decay: "which parameters decay",
  gradClip: "largest global gradient norm; 0: no clipping",
  seed: "seeds initial values, batches, dropout and samples",
  evalInterval: "steps between evaluations; 0: only at the end",
  sampleInterval: "steps between text samples; 0: only at the end",
  checkpointInterval: "steps between checkpoints; 0: only at the end",
};

/** What other programs call a field. */
const synonyms: Readonly<Record<string, readonly string[]>> = {
  maxSteps: ["max-steps", "max-iters"],
  learningRate: ["lr"],
  minLearningRate: ["min-lr"],
  muonLearningRate: ["muon-lr"],
  warmupSteps: ["warmup-iters"],
  decaySteps: ["lr-decay-iters"],
  gradAccumulation: ["gradient-accumulation-steps"],
};

const usual = presets[DEFAULT_PRESET];

/** Flags of the architecture; in help, as the default preset has it. */
export const modelFlags: FlagsOf<ModelConfig> = fieldFlags(
  modelFields,
  modelHelp,
  modelConfig({ vocabSize: 65, ...usual.model }),
);

/** Flags of the training; in help, as the default preset has it. */
export const trainingFlags: FlagsOf<TrainConfig> = fieldFlags(
  trainFields,
  trainHelp,
  trainConfig(usual.train),
);

function fieldFlags<Config extends object>(
  fields: ReadonlyMap<keyof Config & string, FieldType>,
  help: Readonly<Record<keyof Config & string, string>>,
  usual: Config,
): FlagsOf<Config> {
  const flags = [...fields].map(([field, type]) => {
    const aliases = synonyms[field];
    const flag = fieldFlag(field, type, {
      help: help[field],
      without: inWords(usual[field]),
      ...(aliases && { aliases }),
    });
    return [field, flag];
  });
  return Object.fromEntries(flags);
}

function fieldFlag(
  field: string,
  type: FieldType,
  text: FlagText,
): Flag<unknown> {
  const range = fieldRanges.get(field) ?? {};
  switch (type) {
    case "boolean":
      return toggle(text, { negatable: true });
    case "integer":
      return integer(text, range);
    case "number":
      return number(text, range);
    case "number or off":
      return numberOrOff(text, range);
    default:
      return choice(type, text);
  }
}

function inWords(value: unknown): string {
  if (value === null) return "off";
  if (typeof value === "boolean") return value ? "on" : "off";
  return String(value);
}
