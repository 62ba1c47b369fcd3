/** Training configuration as plain data: every field with its default and limits. */

import {
  choice,
  complete,
  count,
  type Field,
  fieldsOf,
  integer,
  interval,
  number,
  numberOrOff,
  rate,
  share,
} from "./field.ts";
import { refusal } from "../refusal.ts";

/** Training configuration. {@linkcode trainConfig} without arguments returns the defaults. */
export interface TrainConfig {
  /** Sequences per micro-batch, B. */
  readonly batchSize: number;
  /** Micro-batches per step; their gradients are averaged. */
  readonly gradAccumulation: number;
  /** Number of optimizer steps. */
  readonly maxSteps: number;
  /** Peak learning rate. */
  readonly learningRate: number;
  /** Final learning rate of the `cosine` and `linear` schedules. */
  readonly minLearningRate: number;
  /** Steps of linear warm-up; 0 for none. */
  readonly warmupSteps: number;
  /** Step at which `cosine` and `linear` reach `minLearningRate`; `null` means `maxSteps`. */
  readonly decaySteps: number | null;
  /** Learning-rate schedule after the warm-up: constant, half a cosine, or a straight line. */
  readonly schedule: "constant" | "cosine" | "linear";
  /**
   * Optimizer: AdamW (arXiv 1711.05101), SGD with momentum, or Muon (Jordan 2024,
   * kellerjordan.github.io/posts/muon) for the matrices of the blocks and AdamW for all other parameters.
   */
  readonly optimizer: "adamw" | "muon" | "sgd";
  /** Peak learning rate of Muon; it follows the same schedule. */
  readonly muonLearningRate: number;
  /** Decay of the momentum of Muon and SGD, in [0, 1). */
  readonly momentum: number;
  /** Decay of AdamW's first moment, in [0, 1). */
  readonly beta1: number;
  /** Decay of AdamW's second moment, in [0, 1). */
  readonly beta2: number;
  /** AdamW's ε. */
  readonly eps: number;
  /** Decoupled weight decay; each step multiplies it by the learning rate (arXiv 1711.05101). */
  readonly weightDecay: number;
  /** Parameters that weight decay applies to: those with two dimensions, or all. */
  readonly decay: "matrices" | "all";
  /** Largest global gradient norm; 0 for no clipping. */
  readonly gradClip: number;
  /**
   * Type in which a step stores the activations that its kernels only multiply or read again: float32, or float16, which
   * halves their memory. All else is float32, sums and gradients included. `f16` needs WebGPU with `shader-f16`.
   */
  readonly precision: "f32" | "f16";
  /**
   * Seed of dropout, an integer in [0, 2^32). The library has four separate seeds: this one, and those of
   * `Model.create` (initial values), `Dataset` (batches) and `Sampler` (drawn tokens). The flag `--seed` sets all four.
   */
  readonly seed: number;
  /** Steps between evaluations; 0 to evaluate only at the end. */
  readonly evalInterval: number;
  /** Steps between text samples; 0 to sample only at the end. */
  readonly sampleInterval: number;
  /** Steps between checkpoints; 0 to save only at the end. */
  readonly checkpointInterval: number;
}

/** Fields of {@linkcode TrainConfig}; omitted or undefined fields take their defaults. */
export type TrainOptions = {
  readonly [Field in keyof TrainConfig]?: TrainConfig[Field] | undefined;
};

/** Every field of {@linkcode TrainConfig}, in order. Presets override the defaults. */
export const trainFields: ReadonlyMap<keyof TrainConfig, Field> = fieldsOf<
  TrainConfig
>({
  batchSize: integer(count, 16, "sequences in a micro-batch"),
  gradAccumulation: integer(count, 1, "micro-batches in a step", [
    "gradient-accumulation-steps",
  ]),
  maxSteps: integer(count, 5000, "optimizer steps", ["max-steps", "max-iters"]),
  learningRate: number(rate, 1e-3, "the highest learning rate", ["lr"]),
  minLearningRate: number(
    rate,
    1e-4,
    "learning rate at the end of the cosine and linear schedules",
    [
      "min-lr",
    ],
  ),
  warmupSteps: integer(interval, 0, "steps of linear warm-up", [
    "warmup-iters",
  ]),
  decaySteps: numberOrOff(
    count,
    "step at which the cosine and linear schedules end; off: --steps",
    ["lr-decay-iters"],
  ),
  schedule: choice(
    ["constant", "cosine", "linear"],
    "shape of the learning rate after the warm-up",
  ),
  optimizer: choice(
    ["adamw", "muon", "sgd"],
    "AdamW, SGD with momentum, or Muon for the blocks' matrices",
  ),
  muonLearningRate: number(
    rate,
    0.02,
    "Muon: the highest learning rate of the blocks' matrices; same schedule",
    ["muon-lr"],
  ),
  momentum: number(share, 0.95, "Muon, SGD: decay of the momentum"),
  beta1: number(share, 0.9, "AdamW: decay of the first moment"),
  beta2: number(share, 0.999, "AdamW: decay of the second moment"),
  eps: number(
    { above: 0 },
    1e-8,
    "AdamW: added to the root of the second moment",
  ),
  weightDecay: number(
    rate,
    0.01,
    "weight decay; each step multiplies it by the learning rate",
  ),
  decay: choice(["matrices", "all"], "which parameters decay"),
  gradClip: number(rate, 1, "largest global gradient norm; 0: no clipping"),
  precision: choice(
    ["f32", "f16"],
    "storage of activations: float32, or float16 (WebGPU)",
  ),
  seed: integer(
    { least: 0, most: 2 ** 32 - 1, whole: true },
    1,
    "seeds initial values, batches, dropout and samples",
  ),
  evalInterval: integer(
    interval,
    250,
    "steps between evaluations; 0: only at the end",
  ),
  sampleInterval: integer(
    interval,
    500,
    "steps between text samples; 0: only at the end",
  ),
  checkpointInterval: integer(
    interval,
    500,
    "steps between checkpoints; 0: only at the end",
  ),
});

/**
 * Completes and validates a training configuration.
 *
 * @throws {RangeError} if a value is out of range; the message names the field and its limits
 */
export function trainConfig(options: TrainOptions = {}): TrainConfig {
  const config = complete("Trainer", trainFields, options);
  if (config.optimizer === "muon" && config.learningRate === 0) {
    throw refusal(
      RangeError,
      "create Trainer",
      'optimizer "muon" follows learningRate, and it is 0',
      { fields: ["optimizer", "learningRate"] },
    );
  }
  return config;
}
