/**
 * Plans of a model, from the network in `network.ts`: evaluation, and generation with
 * a cache (prefill with many tokens, decode with one). The training plan is `train/plan.ts`.
 */

import type { ModelConfig } from "../config/model.ts";
import type { BatchShape } from "../text/dataset.ts";
import { forward } from "../graph/autodiff.ts";
import { MOST_LOGITS } from "../graph/chunks.ts";
import { compile } from "../graph/compile.ts";
import { layoutParameters, type ParameterLayout } from "../graph/layout.ts";
import { crossEntropy, lossSum } from "../graph/ops/loss.ts";
import type { Plan } from "../graph/plan.ts";
import { choose, lastTokens } from "../graph/ops/sampling.ts";
import { Graph, type Tensor } from "../graph/tensor.ts";
import { network } from "./network.ts";

/** Most batches whose losses stay on the device before the host reads them. */
export const EVAL_SLOTS = 16;

/** Returns the parameter layout of a configuration. */
export function parameterLayout(config: ModelConfig): ParameterLayout {
  const graph = new Graph();
  network(config, { graph, tokens: graph.input("tokens", [1, 1], "i32") });
  return layoutParameters(graph);
}

/** Sizes of an evaluation. */
export interface EvalShape extends BatchShape {
  /** True for a plan with an output `logits`; by default, if they take little memory. */
  readonly logits?: boolean | undefined;
  /** Most logits that the plan holds at once if they are no output; see `inChunks`. */
  readonly mostLogits?: number | undefined;
}

/** Returns true if an evaluation of this shape does not hold all logits, unless they are its output. */
export function hasManyLogits(
  { vocabSize }: ModelConfig,
  { B, T }: BatchShape,
): boolean {
  return B * T * vocabSize > MOST_LOGITS;
}

/** Returns the most rows of T tokens whose logits take little memory, at least 1. */
export function rowsOfLogits(
  { vocabSize }: Pick<ModelConfig, "vocabSize">,
  T: number,
): number {
  return Math.max(1, Math.floor(MOST_LOGITS / T / vocabSize));
}

/**
 * Returns the plan of an evaluation: cross-entropy in nats, without gradient.
 *
 * Inputs: tokens (B, T); targets (B, T), -1 for no target; key (4), whose fourth number is
 * the slot of the store `losses` that receives the sum of the batch's losses.
 * Output: logits (B, T, V), if the shape says so.
 */
export function evalPlan(config: ModelConfig, shape: EvalShape): Plan {
  const { B, T, logits: keeps = !hasManyLogits(config, shape) } = shape;
  const graph = new Graph();
  const tokens = graph.input("tokens", [B, T], "i32");
  const targets = graph.input("targets", [B, T], "i32");
  const key = graph.input("key", [4], "i32");
  const logits = network(config, { graph, tokens }); // (B, T, V)
  graph.within("loss", () => {
    const rowLoss = crossEntropy(logits, targets, { smoothing: 0 });
    const total = graph.store("losses", [EVAL_SLOTS]);
    lossSum(rowLoss, { total, key, scale: 1, accumulate: false });
  });
  return compile({
    name: "eval",
    phases: { eval: forward(graph) },
    layout: layoutParameters(graph),
    outputs: keeps ? { logits } : {},
    mostLogits: shape.mostLogits,
  });
}

/** Most tokens of a text that are chosen on the device before the host reads them. */
export const MOST_TOKENS = 64;

/** Returns S, the number of a text's last tokens that stay on the device: those of a window, and those that the host reads at once. */
export function textSlots({ blockSize }: ModelConfig): number {
  return Math.max(blockSize, MOST_TOKENS);
}

/**
 * Returns the plan that continues row b of a cache, with `start[b]` cached tokens, by `count[b]` ≤ T new ones.
 *
 * Inputs: tokens (B, T), start (B), count (B). Output: logits (B, V) after each row's last token.
 *
 * @param options.chooses adds the phases `fetch`, before the network, and `choose`, after it: the last `count[b]` tokens of a
 * text on the device become `tokens`, and the next token is drawn and appended to the text. With a `count` of 1 in each row the
 * plan can then run again at once. The texts are the stores text (B, S), state (B, 4), seen (B, V) and settings (B, 5) of the
 * kernel `choose`, which also keeps `start`, then a store.
 */
export function cachedPlan(
  config: ModelConfig,
  { B, T }: BatchShape,
  { chooses = false }: { readonly chooses?: boolean } = {},
): Plan {
  const graph = new Graph();
  const tokens = graph.input("tokens", [B, T], "i32");
  const count = graph.input("count", [B], "i32");
  const start = chooses
    ? graph.store("start", [B], "i32")
    : graph.input("start", [B], "i32");
  const run = () => network(config, { graph, tokens, cache: { start, count } }); // (B, V)
  const logits = chooses ? choosing(run) : run();
  const name = T === 1 ? "decode" : "prefill";
  const all = forward(graph);
  return compile({
    name,
    phases: chooses
      ? {
        fetch: all.slice(0, 1),
        [name]: all.slice(1, -1),
        choose: all.slice(-1),
      }
      : { [name]: all },
    layout: layoutParameters(graph),
    inputs: [tokens, start, count], // without attention and positions nothing reads `start`
    outputs: { logits },
  });

  /** Adds the ops before the network, which give it tokens, and those after it, which take its logits. */
  function choosing(run: () => Tensor): Tensor {
    const text = graph.store("text", [B, textSlots(config)], "i32");
    const state = graph.store("state", [B, 4], "i32");
    const seen = graph.store("seen", [B, config.vocabSize], "i32");
    const settings = graph.store("settings", [B, 5]);
    lastTokens(tokens, { text, state, count });
    const logits = run();
    choose(logits, {
      ...{ text, state, seen, settings },
      ...{ cached: start, tokens, count },
    });
    return logits;
  }
}
