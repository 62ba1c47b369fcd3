/**
 * The update of parameters from complete gradients: the global norm, clipping, the
 * optimizer (Muon's part is in `muon.ts`), and the learning-rate schedule.
 */

import type { TrainConfig } from "../config/train.ts";
import type { LabelledDispatch } from "../graph/autodiff.ts";
import { ALIGNMENT, type ParameterLayout } from "../graph/layout.ts";
import type { Graph, TensorDispatch } from "../graph/tensor.ts";
import { batches, isHiddenMatrix, muon, type UpdateInputs } from "./muon.ts";

/** Number of steps whose metrics the device keeps until the host reads them. */
export const METRIC_SLOTS = 64;

/** Numbers per step in `metrics`: loss, gradient norm before clipping, 1 if both are finite, unused. */
export const METRIC_WIDTH = 4;

/** Returns the flat stores that an optimizer keeps between steps. */
export function momentsOf(
  { optimizer }: Pick<TrainConfig, "optimizer">,
): readonly string[] {
  return optimizer === "sgd" ? ["m"] : ["m", "v"];
}

/** Names of the flat stores that have one number per parameter. */
export const parameterStores = ["params", "grads", "m", "v"] as const;

/**
 * Returns the dispatches of an update: clip[0] = min(1, gradClip / norm), then the optimizer, then gradients = 0.
 *
 * Inputs written per step: `key` (4) i32 = (seed, micro-batch counter, metrics slot, 0) and
 * `schedule` (3) = (learning rate, 1 - beta1^t, 1 - beta2^t), t counted from 1.
 */
export function update(
  graph: Graph,
  layout: ParameterLayout,
  config: TrainConfig,
): LabelledDispatch[] {
  const n = layout.length;
  const parts = Math.min(1024, Math.ceil(n / 1024));
  const partial = graph.activation([parts]);
  const clip = graph.activation([2]);
  const metrics = graph.store("metrics", [METRIC_SLOTS, METRIC_WIDTH]);
  const loss = graph.store("loss", [1]);
  const key = graph.input("key", [4], "i32");
  const schedule = graph.input("schedule", [3], "f32");
  const whole = { offset: 0, length: n };
  const all = { graph, layout, config, clip, schedule };
  const dispatches: TensorDispatch[] = [
    {
      kernel: "squareSum",
      outputs: [partial],
      inputs: [graph.range("grads", whole)],
      dims: { n, parts },
    },
    {
      kernel: "clip",
      outputs: [clip, metrics, loss],
      inputs: [partial, key],
      dims: { parts, maxNorm: config.gradClip, slots: METRIC_SLOTS },
    },
    ...optimizers[config.optimizer](all),
  ];
  return dispatches.map((dispatch) => ({ label: "optimizer", ...dispatch }));
}

/** Arguments of an optimizer. */
interface UpdateArguments extends UpdateInputs {
  readonly graph: Graph;
  readonly layout: ParameterLayout;
  readonly config: TrainConfig;
}

/** A range of the stores, in elements. */
interface Range {
  readonly offset: number;
  readonly length: number;
}

const optimizers: Readonly<
  Record<TrainConfig["optimizer"], (all: UpdateArguments) => TensorDispatch[]>
> = {
  adamw: (all) => [adamw(all, { offset: 0, length: all.layout.length })],
  sgd: (all) => sgd(all, { offset: 0, length: all.layout.length }),
  muon: (all) => [
    ...batches(all.layout).flatMap((batch) => muon(all.graph, batch, all)),
    ...others(all.layout).map((range) => adamw(all, range)),
  ],
};

/** Returns the dispatch of AdamW (arXiv 1711.05101). */
function adamw(
  { graph, layout, config, clip, schedule }: UpdateArguments,
  range: Range,
): TensorDispatch {
  const { beta1, beta2, eps, weightDecay } = config;
  return {
    kernel: "adamw",
    outputs: ["params", "grads", "m", "v"].map((store) =>
      graph.range(store, range)
    ),
    inputs: [clip, schedule],
    dims: {
      n: range.length,
      decayed: decayed(layout, config, range),
      ...{ beta1, beta2, eps, weightDecay },
    },
  };
}

/** Returns the dispatches of SGD with momentum as in PyTorch, but with decoupled weight decay. */
function sgd(
  { graph, layout, config, clip, schedule }: UpdateArguments,
  range: Range,
): TensorDispatch[] {
  const { momentum, weightDecay } = config;
  const n = range.length;
  const direction = graph.activation([n]);
  return [
    {
      kernel: "momentum",
      outputs: [
        direction,
        graph.range("grads", range),
        graph.range("m", range),
      ],
      inputs: [clip],
      dims: { count: 1, n, stride: 0, momentum, nesterov: false },
    },
    {
      kernel: "descend",
      outputs: [graph.range("params", range)],
      inputs: [direction, clip, schedule],
      dims: {
        ...{ count: 1, n, stride: 0, rate: 1, scale: 1, weightDecay },
        decayed: decayed(layout, config, range),
      },
    },
  ];
}

/** Returns how many leading elements of a range decay. */
function decayed(
  { matrices }: ParameterLayout,
  { decay }: TrainConfig,
  { offset, length }: Range,
): number {
  return decay === "all"
    ? length
    : Math.max(0, Math.min(length, matrices - offset));
}

/** Returns the ranges between Muon's matrices. */
function others({ entries, length }: ParameterLayout): Range[] {
  const hidden = entries.filter(isHiddenMatrix);
  const begins = [0, ...hidden.map((entry) => entry.offset + entry.length)];
  const ends = [...hidden.map(({ offset }) => offset), length];
  return begins.map((begin, i) => {
    // Skips the padding between two matrices.
    const offset = Math.ceil(begin / ALIGNMENT) * ALIGNMENT;
    return { offset, length: ends[i]! - offset };
  }).filter(({ length }) => length > 0);
}

/**
 * Returns the learning rate of an optimizer step, counted from 0, by nanoGPT's schedule.
 *
 * Warm-up: learningRate · (step + 1) / (warmupSteps + 1). After the warm-up the rate is constant, or falls to
 * `minLearningRate` at `decaySteps` along half a cosine or a line and stays there.
 */
export function learningRateAt(config: TrainConfig, step: number): number {
  const { learningRate, minLearningRate, warmupSteps, schedule } = config;
  if (step < warmupSteps) {
    return learningRate * (step + 1) / (warmupSteps + 1);
  }
  if (schedule === "constant") return learningRate;
  const end = config.decaySteps ?? config.maxSteps;
  if (step >= end) return minLearningRate;
  const progress = (step - warmupSteps) / (end - warmupSteps);
  const share = schedule === "cosine"
    ? 0.5 * (1 + Math.cos(Math.PI * progress))
    : 1 - progress;
  return minLearningRate + share * (learningRate - minLearningRate);
}

/** Returns the input `schedule` of an optimizer step, counted from 0. */
export function scheduleAt(
  config: TrainConfig,
  step: number,
): [learningRate: number, correction1: number, correction2: number] {
  return [
    learningRateAt(config, step),
    1 - config.beta1 ** (step + 1),
    1 - config.beta2 ** (step + 1),
  ];
}
