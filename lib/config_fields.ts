/** Every configuration field with what it may hold: what the checks and the command line's flags are made from. */

import type { ModelConfig, TrainConfig } from "./config.ts";

/** What a field holds: its choices, or its type. The CLI makes its flags from these. */
export type FieldType =
  | readonly string[]
  | "boolean"
  | "integer"
  | "number"
  | "number or off";

/** Every field of {@linkcode ModelConfig}, in order, with what it may hold. */
export const modelFields: ReadonlyMap<keyof ModelConfig, FieldType> = new Map<
  keyof ModelConfig,
  FieldType
>([
  ["vocabSize", "integer"],
  ["blockSize", "integer"],
  ["nLayer", "integer"],
  ["nHead", "integer"],
  ["nKvHead", "integer"],
  ["nEmbd", "integer"],
  ["nHidden", "integer"],
  ["position", [
    "none",
    "learned",
    "sinusoidal",
    "rope",
    "rope-half",
    "alibi",
  ]],
  ["norm", ["layernorm", "rmsnorm", "none"]],
  ["normPlacement", ["pre", "post"]],
  ["mlp", ["geluTanh", "gelu", "relu", "relu2", "swiglu", "none"]],
  ["attention", "boolean"],
  ["qkNorm", "boolean"],
  ["attentionScale", "boolean"],
  ["mask", ["causal", "none", "zeroed", "finite"]],
  ["maskValue", "number"],
  ["residual", "boolean"],
  ["bias", "boolean"],
  ["tiedHead", "boolean"],
  ["headBias", "boolean"],
  ["dropout", "number"],
  ["labelSmoothing", "number"],
  ["logitSoftcap", "number or off"],
  ["init", ["gpt2", "torch"]],
]);

/** Every field of {@linkcode TrainConfig}, in order, with what it may hold. */
export const trainFields: ReadonlyMap<keyof TrainConfig, FieldType> = new Map<
  keyof TrainConfig,
  FieldType
>([
  ["batchSize", "integer"],
  ["gradAccumulation", "integer"],
  ["maxSteps", "integer"],
  ["learningRate", "number"],
  ["minLearningRate", "number"],
  ["warmupSteps", "integer"],
  ["decaySteps", "number or off"],
  ["schedule", ["constant", "cosine", "linear"]],
  ["optimizer", ["adamw", "muon", "sgd"]],
  ["muonLearningRate", "number"],
  ["momentum", "number"],
  ["beta1", "number"],
  ["beta2", "number"],
  ["eps", "number"],
  ["weightDecay", "number"],
  ["decay", ["matrices", "all"]],
  ["gradClip", "number"],
  ["seed", "integer"],
  ["evalInterval", "integer"],
  ["sampleInterval", "integer"],
  ["checkpointInterval", "integer"],
]);
