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

/** Limits of a number, each of them included unless it says otherwise. */
export interface Range {
  readonly least?: number;
  readonly most?: number;
  /** What it has to be above. */
  readonly above?: number;
  /** What it has to be below. */
  readonly below?: number;
  /** Whether it has to be an integer. */
  readonly whole?: boolean;
}

const size: Range = { least: 1, most: 2 ** 24, whole: true };
const count: Range = { least: 1, most: 2 ** 31, whole: true };
const interval: Range = { least: 0, most: 2 ** 31, whole: true };
const share: Range = { least: 0, below: 1 };
const rate: Range = { least: 0 };

/** The range of every field that holds a number; further rules concern several fields at once. */
export const fieldRanges: ReadonlyMap<string, Range> = new Map<
  keyof ModelConfig | keyof TrainConfig,
  Range
>([
  // Plans grow with the layers: more of them are hardly a small language model.
  ["nLayer", { least: 1, most: 1024, whole: true }],
  ["vocabSize", size],
  ["blockSize", size],
  ["nHead", size],
  ["nKvHead", size],
  ["nEmbd", size],
  ["nHidden", size],
  ["maskValue", {}],
  ["dropout", share],
  ["labelSmoothing", share],
  ["logitSoftcap", { above: 0 }],
  ["batchSize", count],
  ["gradAccumulation", count],
  ["maxSteps", count],
  ["learningRate", rate],
  ["minLearningRate", rate],
  ["warmupSteps", interval],
  ["decaySteps", count],
  ["muonLearningRate", rate],
  ["momentum", share],
  ["beta1", share],
  ["beta2", share],
  ["eps", { above: 0 }],
  ["weightDecay", rate],
  ["gradClip", rate],
  ["seed", { least: 0, most: 2 ** 32 - 1, whole: true }],
  ["evalInterval", interval],
  ["sampleInterval", interval],
  ["checkpointInterval", interval],
]);

/** Whether a value is a finite number in a range. */
export function isWithin(value: unknown, range: Range): boolean {
  const { least = -Infinity, most = Infinity } = range;
  const { above = -Infinity, below = Infinity, whole = false } = range;
  return typeof value === "number" && Number.isFinite(value) &&
    value >= least && value <= most && value > above && value < below &&
    (!whole || Number.isSafeInteger(value));
}

/** Names what a range takes, as `an integer from 1 to 1024`. */
export function rangeName(range: Range): string {
  const { least, most, above, below, whole = false } = range;
  const noun = whole ? "an integer" : "a number";
  const [from, to] = [least ?? above, most ?? below];
  if (from === undefined) return `${whole ? "an integer" : "a finite number"}`;
  const low = above === undefined ? `${from}` : `above ${from}`;
  if (to === undefined) {
    return above === undefined
      ? `${noun} of at least ${low}`
      : `${noun} ${low}`;
  }
  const high = below === undefined ? `${to}` : `below ${to}`;
  return `${noun} from ${low} to ${high}`;
}
