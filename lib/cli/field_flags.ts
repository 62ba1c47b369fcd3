/** The flags of the configuration fields, made from the fields' table: a field without a line of help here does not compile. */

import {
  type ModelConfig,
  modelConfig,
  type TrainConfig,
  trainConfig,
} from "../config.ts";
import {
  fieldRanges,
  type FieldType,
  modelFields,
  trainFields,
} from "../config_fields.ts";
import { DEFAULT_PRESET, presets } from "../presets.ts";
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
  vocabSize: "tokens; has to be what the tokenizer has",
  blockSize: "longest context, in tokens",
  nLayer: "blocks",
  nHead: "query heads; divides n-embd",
  nKvHead: "key/value heads; divides n-head",
  nEmbd: "width of the residual stream",
  nHidden: "width of the MLP",
  position: "how the model learns of positions",
  norm: "normalisation",
  normPlacement: "norm before each part, or after the residual sum",
  mlp: "the MLP's activation; none: blocks have no MLP",
  attention: "whether blocks have attention",
  qkNorm: "queries and keys divided by their root mean square",
  attentionScale: "scores divided by the root of the head size",
  mask: "what happens to scores of the future; all but causal are for study",
  maskValue: "the score that --mask finite writes",
  residual: "residual connections",
  bias: "biases in linear maps and layer norms",
  tiedHead: "the head's matrix is the token embedding",
  headBias: "a bias in the head",
  dropout: "rate of dropout, from 0 to below 1",
  labelSmoothing: "share of the target spread over all tokens",
  logitSoftcap: "logits become cap * tanh(logits / cap)",
  init: "initial values: GPT-2's, or PyTorch's defaults",
};

const trainHelp: Readonly<Record<keyof TrainConfig, string>> = {
  batchSize: "sequences in a micro-batch",
  gradAccumulation: "micro-batches in a step",
  maxSteps: "optimizer steps",
  learningRate: "the highest learning rate",
  minLearningRate: "where cosine and linear end",
  warmupSteps: "steps of linear warm-up",
  decaySteps: "step at which cosine and linear end; off: --steps",
  schedule: "course of the learning rate after the warm-up",
  optimizer: "AdamW, SGD with momentum, or Muon for the blocks' matrices",
  muonLearningRate: "Muon: the highest learning rate; same schedule",
  momentum: "Muon, SGD: decay of the momentum",
  beta1: "AdamW: decay of the first moment",
  beta2: "AdamW: decay of the second moment",
  eps: "AdamW: added to the root of the second moment",
  weightDecay: "weight decay, times the learning rate in each step",
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
