/**
 * Inner values of a model: its residual stream after each part, the output of its first attention,
 * and its loss at each position.
 */

import type { Numbers, Program } from "../../backends/backend.ts";
import type { ModelConfig } from "../../config/model.ts";
import { forward } from "../../graph/autodiff.ts";
import { compile } from "../../graph/compile.ts";
import { layoutParameters } from "../../graph/layout.ts";
import { attentionSites } from "../../graph/ops/attention.ts";
import { crossEntropy } from "../../graph/ops/loss.ts";
import type { Plan } from "../../graph/plan.ts";
import { Graph, type Tensor } from "../../graph/tensor.ts";
import type { Model } from "../../model/model.ts";
import { yieldIfDue } from "../../model/parts.ts";
import { network } from "../../model/network.ts";
import type { BatchShape } from "../../text/dataset.ts";
import type { Windows } from "./windows.ts";
import { internalsOf } from "../../model/internals.ts";

/** Kinds of inner values that can be read. */
export type Inside = "stream" | "attention" | "loss";

/** Number of windows that go through a model at a time. */
const ROWS = 16;

/** A plan that computes only what its outputs need, and the names of its outputs. */
export interface InnerPlan {
  readonly plan: Plan;
  readonly names: readonly string[];
}

/**
 * Plans a full pass whose inner values can be read.
 *
 * Inputs: tokens, targets (B, T). Outputs for `stream`: `embedding`, `block 1`, … and `final
 * norm`, if there is one, each (B, T, C); for `attention`: `attention` (B, T, C), the first
 * attention before its output projection; for `loss`: `loss` (B, T), plain cross-entropy in nats.
 */
export function innerPlan(
  config: ModelConfig,
  { B, T }: BatchShape,
  inside: Inside,
): InnerPlan {
  const graph = new Graph();
  const tokens = graph.input("tokens", [B, T], "i32");
  const targets = graph.input("targets", [B, T], "i32");
  const logits = network(config, { graph, tokens });
  const outputs = {
    stream: () => stream(graph, config.nLayer),
    attention: () =>
      attentionSites(graph).slice(0, 1).map((
        { y },
      ): [string, Tensor] => ["attention", y]),
    loss: (): [string, Tensor][] => [
      ["loss", crossEntropy(logits, targets, { smoothing: 0 })],
    ],
  }[inside]();
  const plan = compile({
    name: inside,
    phases: { [inside]: forward(graph) },
    layout: layoutParameters(graph),
    inputs: [tokens, targets],
    outputs: Object.fromEntries(outputs),
  });
  return { plan, names: outputs.map(([name]) => name) };
}

/** Returns the residual stream after the embedding, after each block, and as the head receives it. */
function stream({ nodes }: Graph, nLayer: number): [string, Tensor][] {
  const last = (belongs: (label: string) => boolean) =>
    nodes.findLast(({ label }) => belongs(label))?.outputs[0];
  const head = nodes.find(({ label }) => label === "lm_head")!;
  type Part = [name: string, tensor: Tensor | undefined];
  const parts: Part[] = [
    ["embedding", last((label) => label === "wte")],
    ...Array.from({ length: nLayer }, (_, layer): Part => [
      `block ${layer + 1}`,
      last((label) => label.startsWith(`h.${layer}.`)),
    ]),
    ["final norm", head.inputs[0]],
  ];
  const seen = new Set<Tensor>();
  return parts.filter((part): part is [string, Tensor] => {
    const [, tensor] = part;
    // A block without parts, or a model without a final norm.
    if (tensor === undefined || seen.has(tensor)) return false;
    seen.add(tensor);
    return true;
  });
}

/** Some windows and the model's inner values for them. */
export interface InnerValues {
  /** Number of windows. */
  readonly count: number;
  /** Index of the first window. */
  readonly first: number;
  /** The values by name; values of windows beyond `count` are padding. */
  readonly values: ReadonlyMap<string, Numbers>;
}

/**
 * Yields the inner values of windows, a few windows at a time.
 *
 * @throws the signal's reason if it is aborted
 */
export async function* innerValues(
  model: Model,
  windows: Windows,
  { inside, signal }: {
    readonly inside: Inside;
    readonly signal?: AbortSignal | undefined;
  },
): AsyncGenerator<InnerValues, void> {
  const { T, count: all } = windows;
  const B = Math.min(ROWS, all);
  const { plan, names } = innerPlan(model.config, { B, T }, inside);
  const program: Program = await internalsOf(model).executor.compile(
    plan,
    internalsOf(model).stores,
  );
  try {
    for (let first = 0; first < all; first += B) {
      await yieldIfDue();
      signal?.throwIfAborted();
      const count = Math.min(B, all - first);
      for (const input of ["tokens", "targets"] as const) {
        const padded = new Int32Array(B * T);
        padded.set(windows[input].subarray(first * T, (first + count) * T));
        program.buffer(input).write(padded);
      }
      program.run();
      const values = new Map<string, Numbers>();
      for (const name of names) {
        values.set(name, await program.buffer(name).read());
      }
      yield { count, first, values };
    }
  } finally {
    program.destroy();
  }
}
