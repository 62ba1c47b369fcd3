/** The plan of a training step: loss, gradient and update of the network in `model/network.ts`. */

import type { ModelConfig } from "../config/model.ts";
import type { TrainConfig } from "../config/train.ts";
import { backward, forward } from "../graph/autodiff.ts";
import { compile } from "../graph/compile.ts";
import { layoutParameters } from "../graph/layout.ts";
import { crossEntropy, lossSum } from "../graph/ops/loss.ts";
import { halfTensors } from "../graph/precision.ts";
import type { Plan } from "../graph/plan.ts";
import { Graph } from "../graph/tensor.ts";
import { network } from "../model/network.ts";
import type { BatchShape } from "../text/dataset.ts";
import { update } from "./optimizer.ts";

/**
 * Returns the plan of a training step. It has two phases: `gradient` accumulates the
 * gradient and loss of a micro-batch; `update` clips the gradient, applies the
 * optimizer, records the metrics and clears gradient and loss.
 *
 * Inputs: tokens, targets (B, T); key and schedule as in `optimizer.ts`.
 *
 * @param options.logits whether the plan has an output `logits` (B, T, V)
 * @param options.mostLogits most logits that the plan holds at once, unless they are an output
 */
export function trainPlan(
  config: ModelConfig,
  train: TrainConfig,
  { B, T, logits: keepLogits = false, mostLogits }: BatchShape & {
    logits?: boolean;
    mostLogits?: number | undefined;
  },
): Plan {
  const graph = new Graph();
  const tokens = graph.input("tokens", [B, T], "i32");
  const targets = graph.input("targets", [B, T], "i32");
  const key = graph.input("key", [4], "i32");
  const logits = network(config, { graph, tokens, key }); // (B, T, V)
  const scale = 1 / (B * T * train.gradAccumulation);
  graph.within("loss", () => {
    const rowLoss = crossEntropy(logits, targets, {
      smoothing: config.labelSmoothing,
      gradientScale: scale,
    });
    const total = graph.store("loss", [1]);
    lossSum(rowLoss, { total, key, scale, accumulate: true });
  });
  const layout = layoutParameters(graph);
  const passes = { forward: forward(graph), backward: backward(graph) };
  return compile({
    name: "train",
    phases: {
      gradient: [...passes.forward, ...passes.backward],
      update: update(graph, layout, train),
    },
    layout,
    ...train.precision === "f16" && { halves: halfTensors(passes) },
    outputs: keepLogits ? { logits } : {},
    mostLogits,
  });
}
