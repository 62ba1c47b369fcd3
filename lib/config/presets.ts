/** Named presets: complete recipes, from tokenizer to learning-rate schedule. */

import type { ModelConfig } from "./model.ts";
import type { TrainConfig } from "./train.ts";

/** A recipe. Omitted fields take the defaults of `model.ts` and `train.ts`. */
export interface Preset {
  /** One-line description. */
  readonly about: string;
  /** Kind of tokenizer. */
  readonly tokenizer: "ascii" | "chars" | "bytes";
  /** Architecture of the model. */
  readonly model: Partial<Omit<ModelConfig, "vocabSize">>;
  /** Training configuration. */
  readonly train: Partial<TrainConfig>;
}

/** nanoGPT's character-level Shakespeare recipe at another size (karpathy/nanoGPT, config/train_shakespeare_char.py). */
const nano = {
  model: {
    position: "learned",
    mlp: "gelu",
    bias: false,
    tiedHead: true,
    headBias: false,
    init: "gpt2",
  },
  train: {
    learningRate: 1e-3,
    minLearningRate: 1e-4,
    warmupSteps: 100,
    schedule: "cosine",
    beta1: 0.9,
    beta2: 0.99,
    weightDecay: 0.1,
    decay: "matrices",
    gradClip: 1,
    evalInterval: 250,
  },
} as const satisfies Pick<Preset, "model" | "train">;

/** The training of the presets `default` and `portable`: Muon, and 6.1 million tokens. */
const fiveMinutes = {
  batchSize: 8,
  maxSteps: 6000,
  optimizer: "muon",
  learningRate: 6e-3,
  muonLearningRate: 0.01,
  minLearningRate: 0,
  warmupSteps: 20,
  schedule: "linear",
  beta2: 0.99,
  weightDecay: 0.1,
  evalInterval: 1000,
  sampleInterval: 1000,
  checkpointInterval: 1000,
} as const satisfies Preset["train"];

/** The name of a preset. */
export type PresetName =
  | "default"
  | "portable"
  | "original"
  | "nano-cpu"
  | "nano-gpu"
  | "tiny";

/** Preset that the command line trains by default. */
export const DEFAULT_PRESET: PresetName = "default";

/** The presets, by name. */
export const presets: Readonly<Record<PresetName, Preset>> = {
  default: {
    about: "five minutes on two cores: 157,952 parameters (docs/recipe.md)",
    tokenizer: "chars",
    model: {
      blockSize: 128,
      nLayer: 3,
      nHead: 2,
      nEmbd: 64,
      position: "rope",
      norm: "rmsnorm",
      mlp: "relu2",
      qkNorm: true,
      bias: true,
      tiedHead: false,
      headBias: false,
      logitSoftcap: 15,
    },
    train: fiveMinutes,
  },
  portable: {
    about:
      "as good, in the architecture of Llama, which other programs run: 159,744 parameters",
    tokenizer: "chars",
    model: {
      blockSize: 128,
      nLayer: 3,
      nHead: 2,
      nEmbd: 64,
      nHidden: 184,
      position: "rope-half",
      norm: "rmsnorm",
      mlp: "swiglu",
      bias: false,
      tiedHead: true,
      headBias: false,
    },
    train: fiveMinutes,
  },
  original: {
    about: "the study this project grew from: 826,240 parameters, no positions",
    tokenizer: "ascii",
    model: {
      blockSize: 128,
      nLayer: 4,
      nHead: 4,
      nEmbd: 128,
      position: "none",
      mlp: "geluTanh",
      bias: true,
      tiedHead: false,
      headBias: true,
      labelSmoothing: 0.1,
      init: "torch",
    },
    train: {
      batchSize: 16,
      maxSteps: 5000,
      learningRate: 1e-3,
      schedule: "constant",
      weightDecay: 0.01,
      decay: "all",
      gradClip: 1,
    },
  },
  "nano-cpu": {
    about: "nanoGPT's recipe for a CPU: 0.80M parameters, 2000 steps",
    tokenizer: "chars",
    model: { ...nano.model, blockSize: 64, nLayer: 4, nHead: 4, nEmbd: 128 },
    train: { ...nano.train, batchSize: 12, maxSteps: 2000 },
  },
  "nano-gpu": {
    about: "nanoGPT's recipe for a GPU: 10.65M parameters, 5000 steps",
    tokenizer: "chars",
    model: {
      ...nano.model,
      blockSize: 256,
      nLayer: 6,
      nHead: 6,
      nEmbd: 384,
      dropout: 0.2,
    },
    train: { ...nano.train, batchSize: 64, maxSteps: 5000 },
  },
  tiny: {
    about: "trains in seconds, for tests and demonstrations",
    tokenizer: "chars",
    model: {
      blockSize: 32,
      nLayer: 2,
      nHead: 2,
      nEmbd: 32,
      position: "rope",
      norm: "rmsnorm",
      mlp: "relu2",
      bias: false,
      tiedHead: true,
      headBias: false,
    },
    train: {
      batchSize: 8,
      maxSteps: 200,
      learningRate: 1e-2,
      minLearningRate: 1e-3,
      warmupSteps: 10,
      schedule: "cosine",
      beta2: 0.99,
      weightDecay: 0.1,
      evalInterval: 100,
      sampleInterval: 100,
      checkpointInterval: 100,
    },
  },
};
