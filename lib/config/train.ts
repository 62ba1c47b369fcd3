/** How a model is trained, as plain data: every field with its default and its limits. */

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

/** How a model is trained. {@linkcode trainConfig} without arguments gives the defaults. */
export interface TrainConfig {
  /** Sequences per micro-batch, B. */
  readonly batchSize: number;
  /** Micro-batches whose gradients are averaged in one step. */
  readonly gradAccumulation: number;
  /** Optimizer steps. */
  readonly maxSteps: number;
  /** The highest learning rate. */
  readonly learningRate: number;
  /** Where `cosine` and `linear` end. */
  readonly minLearningRate: number;
  /** Steps of linear warm-up; 0: none. */
  readonly warmupSteps: number;
  /** The step at which `cosine` and `linear` reach `minLearningRate`; `null`: `maxSteps`. */
  readonly decaySteps: number | null;
  /** How the learning rate falls after the warm-up: not, along half a cosine, or along a line. */
  readonly schedule: "constant" | "cosine" | "linear";
  /**
   * What turns gradients into updates: AdamW (arXiv 1711.05101), SGD with momentum, or Muon (Jordan 2024,
   * kellerjordan.github.io/posts/muon) for the blocks' matrices with AdamW for all else.
   */
  readonly optimizer: "adamw" | "muon" | "sgd";
  /** Muon's highest learning rate; it follows the same schedule. */
  readonly muonLearningRate: number;
  /** Decay of the momentum of Muon and SGD, in [0, 1). */
  readonly momentum: number;
  /** Decay of AdamW's first moment, in [0, 1). */
  readonly beta1: number;
  /** Decay of AdamW's second moment, in [0, 1). */
  readonly beta2: number;
  /** AdamW's ε. */
  readonly eps: number;
  /** Decoupled weight decay, times the learning rate in each step (arXiv 1711.05101). */
  readonly weightDecay: number;
  /** Which parameters decay: those with two dimensions, or all. */
  readonly decay: "matrices" | "all";
  /** Largest global gradient norm; 0: no clipping. */
  readonly gradClip: number;
  /**
   * Seeds dropout; an integer in [0, 2^32). In the library each part has a seed of its own: initial values
   * that of `Model.create`, batches that of `Dataset`, drawn tokens that of `Sampler`. The command's `--seed` sets all four.
   */
  readonly seed: number;
  /** Steps between evaluations; 0: only at the end. */
  readonly evalInterval: number;
  /** Steps between text samples; 0: only at the end. */
  readonly sampleInterval: number;
  /** Steps between checkpoints; 0: only at the end. */
  readonly checkpointInterval: number;
}

/** Fields of {@linkcode TrainConfig}; what is left out or undefined has its default. */
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
 * Completes and checks how to train.
 *
 * @throws {RangeError} naming the field and its limits
 */
export function trainConfig(options: TrainOptions = {}): TrainConfig {
  const config = complete("Trainer", trainFields, options);
  if (config.optimizer === "muon" && config.learningRate === 0) {
    throw new RangeError(
      `Cannot create Trainer: optimizer "muon" follows learningRate, and it is 0`,
    );
  }
  return config;
}
