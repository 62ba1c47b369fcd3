/**
 * What happens to parameters once their gradients are complete: the global norm,
 * clipping, AdamW, and the learning-rate schedule that drives it.
 */

import type { TrainConfig } from "./config.ts";
import type { LabelledDispatch } from "./graph/autodiff.ts";
import type { ParameterLayout } from "./graph/layout.ts";
import type { Graph, TensorDispatch } from "./graph/tensor.ts";

/** Steps whose metrics the device keeps until the host reads them. */
export const METRIC_SLOTS = 64;

/** Numbers per step in `metrics`: loss, gradient norm before clipping, 1 if both are finite, unused. */
export const METRIC_WIDTH = 4;

/** Names of the flat stores that hold one number per parameter. */
export const parameterStores = ["params", "grads", "m", "v"] as const;

/**
 * The update: clip[0] = min(1, gradClip / norm), then AdamW (arXiv 1711.05101), then gradients = 0.
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
  const [params, grads, m, v] = parameterStores.map((name) =>
    graph.store(name, [n])
  ) as [Parameter, Parameter, Parameter, Parameter];
  const partial = graph.activation([parts]);
  const clip = graph.activation([2]);
  const metrics = graph.store("metrics", [METRIC_SLOTS, METRIC_WIDTH]);
  const loss = graph.store("loss", [1]);
  const key = graph.input("key", [4], "i32");
  const schedule = graph.input("schedule", [3], "f32");
  const dispatches: TensorDispatch[] = [
    {
      kernel: "squareSum",
      outputs: [partial],
      inputs: [grads],
      dims: { n, parts },
    },
    {
      kernel: "clip",
      outputs: [clip, metrics, loss],
      inputs: [partial, key],
      dims: { parts, maxNorm: config.gradClip, slots: METRIC_SLOTS },
    },
    {
      kernel: "adamw",
      outputs: [params, grads, m, v],
      inputs: [clip, schedule],
      dims: {
        n,
        decayed: config.decay === "all" ? n : layout.matrices,
        beta1: config.beta1,
        beta2: config.beta2,
        eps: config.eps,
        weightDecay: config.weightDecay,
      },
    },
  ];
  return dispatches.map((dispatch) => ({ ...dispatch, label: "optimizer" }));
}

type Parameter = ReturnType<Graph["store"]>;

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
