/**
 * What happens to parameters once their gradients are complete: the global norm,
 * clipping, the optimizer (Muon's own part is `muon.ts`), and the learning-rate schedule
 * that drives it.
 */

import type { TrainConfig } from "../config/train.ts";
import type { LabelledDispatch } from "../graph/autodiff.ts";
import { ALIGNMENT, type ParameterLayout } from "../graph/layout.ts";
import type { Graph, TensorDispatch } from "../graph/tensor.ts";
import { isHiddenMatrix, muon, type UpdateInputs } from "./muon.ts";

/** Steps whose metrics the device keeps until the host reads them. */
export const METRIC_SLOTS = 64;

/** Numbers per step in `metrics`: loss, gradient norm before clipping, 1 if both are finite, unused. */
export const METRIC_WIDTH = 4;

/** The flat stores that an optimizer keeps from step to step. */
export function momentsOf(
  { optimizer }: Pick<TrainConfig, "optimizer">,
): readonly string[] {
  return optimizer === "sgd" ? ["m"] : ["m", "v"];
}

/** Names of the flat stores that hold one number per parameter. */
export const parameterStores = ["params", "grads", "m", "v"] as const;

/**
 * The update: clip[0] = min(1, gradClip / norm), then the optimizer, then gradients = 0.
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
  const step = { graph, layout, config, clip, schedule };
  const dispatches: TensorDispatch[] = [
    {
      kernel: "squareSum",
      outputs: [partial],
      inputs: [graph.stretch("grads", whole)],
      dims: { n, parts },
    },
    {
      kernel: "clip",
      outputs: [clip, metrics, loss],
      inputs: [partial, key],
      dims: { parts, maxNorm: config.gradClip, slots: METRIC_SLOTS },
    },
    ...optimizers[config.optimizer](step),
  ];
  return dispatches.map((dispatch) => ({ label: "optimizer", ...dispatch }));
}

/** What an optimizer makes its dispatches from. */
interface Step extends UpdateInputs {
  readonly graph: Graph;
  readonly layout: ParameterLayout;
  readonly config: TrainConfig;
}

/** A part of the stores, in elements. */
interface Stretch {
  readonly offset: number;
  readonly length: number;
}

const optimizers: Readonly<
  Record<TrainConfig["optimizer"], (step: Step) => TensorDispatch[]>
> = {
  adamw: (step) => [adamw(step, { offset: 0, length: step.layout.length })],
  sgd: (step) => sgd(step, { offset: 0, length: step.layout.length }),
  muon: (step) => [
    ...step.layout.entries.filter(isHiddenMatrix).flatMap((entry) =>
      muon(step.graph, entry, step)
    ),
    ...others(step.layout).map((stretch) => adamw(step, stretch)),
  ],
};

/** AdamW (arXiv 1711.05101). */
function adamw(
  { graph, layout, config, clip, schedule }: Step,
  stretch: Stretch,
): TensorDispatch {
  const { beta1, beta2, eps, weightDecay } = config;
  return {
    kernel: "adamw",
    outputs: ["params", "grads", "m", "v"].map((store) =>
      graph.stretch(store, stretch)
    ),
    inputs: [clip, schedule],
    dims: {
      n: stretch.length,
      decayed: decayed(layout, config, stretch),
      ...{ beta1, beta2, eps, weightDecay },
    },
  };
}

/** SGD with momentum, as PyTorch has it, but with decoupled weight decay. */
function sgd(
  { graph, layout, config, clip, schedule }: Step,
  stretch: Stretch,
): TensorDispatch[] {
  const { momentum, weightDecay } = config;
  const n = stretch.length;
  const direction = graph.activation([n]);
  return [
    {
      kernel: "momentum",
      outputs: [
        direction,
        graph.stretch("grads", stretch),
        graph.stretch("m", stretch),
      ],
      inputs: [clip],
      dims: { n, momentum, nesterov: false },
    },
    {
      kernel: "descend",
      outputs: [graph.stretch("params", stretch)],
      inputs: [direction, clip, schedule],
      dims: {
        n,
        decayed: decayed(layout, config, stretch),
        rate: 1,
        scale: 1,
        weightDecay,
      },
    },
  ];
}

/** How many of a stretch's leading elements decay. */
function decayed(
  { matrices }: ParameterLayout,
  { decay }: TrainConfig,
  { offset, length }: Stretch,
): number {
  return decay === "all"
    ? length
    : Math.max(0, Math.min(length, matrices - offset));
}

/** What lies between Muon's matrices, in as few stretches as there are. */
function others({ entries, length }: ParameterLayout): Stretch[] {
  const hidden = entries.filter(isHiddenMatrix);
  const begins = [0, ...hidden.map((entry) => entry.offset + entry.length)];
  const ends = [...hidden.map(({ offset }) => offset), length];
  return begins.map((begin, i) => {
    // Padding between two matrices is nobody's.
    const offset = Math.ceil(begin / ALIGNMENT) * ALIGNMENT;
    return { offset, length: ends[i]! - offset };
  }).filter(({ length }) => length > 0);
}

/**
 * The learning rate of an optimizer step, counted from 0: nanoGPT's schedule.
 *
 * Warm-up: learningRate · (step + 1) / (warmupSteps + 1). Then `constant`, or down to `minLearningRate`
 * at `decaySteps` along half a cosine or a line, and flat from there.
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

/** The numbers of `schedule` for an optimizer step, counted from 0. */
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
