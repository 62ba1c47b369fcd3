/**
 * Inner values of a model: its residual stream after each part, the output of its first attention,
 * and its loss at each position.
 */

import type { Numbers, Program } from "../../backends/backend.ts";
import { type ModelConfig, modelConfig } from "../../config/model.ts";
import { refusal } from "../../refusal.ts";
import { forward } from "../../graph/autodiff.ts";
import { compile } from "../../graph/compile.ts";
import { layoutParameters } from "../../graph/layout.ts";
import { attentionLayers } from "../../graph/ops/attention.ts";
import { crossEntropy } from "../../graph/ops/loss.ts";
import { Graph, type Tensor } from "../../graph/tensor.ts";
import { Model } from "../../model/model.ts";
import { yieldIfDue } from "../../model/parts.ts";
import { network } from "../../model/network.ts";
import type { BatchShape } from "../../text/dataset.ts";
import type { Windows } from "./windows.ts";
import { internalsOf } from "../../model/internals.ts";

/** Kinds of inner values that can be read. */
export type Inside = "stream" | "attention" | "loss";

/** Number of windows that go through a model at a time. */
const ROWS = 16;

/**
 * Plans a full pass whose inner values can be read.
 *
 * Inputs: tokens, targets (B, T). Outputs for `stream`: `embedding`, `block 1`, … and `final
 * norm`, if there is one, each (B, T, C); for `attention`: `attention` (B, T, C), the first
 * attention before its output projection; for `loss`: `loss` (B, T), plain cross-entropy in nats.
 */
function innerPlan(
  config: ModelConfig,
  { B, T }: BatchShape,
  inside: Inside,
) {
  const graph = new Graph();
  const tokens = graph.input("tokens", [B, T], "i32");
  const targets = graph.input("targets", [B, T], "i32");
  const logits = network(config, { graph, tokens });
  const outputs = {
    stream: () => stream(graph, config.nLayer),
    attention: () =>
      attentionLayers(graph).slice(0, 1).map((
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
  const { executor, stores } = internalsOf(model);
  const program: Program = await executor.compile(plan, stores);
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

/** Returns the mean loss at each position, (T), in nats: position t has seen t + 1 tokens. */
export async function lossByPosition(
  model: Model,
  windows: Windows,
  signal?: AbortSignal,
): Promise<number[]> {
  const { T, count: all } = windows;
  const sums = new Float64Array(T);
  for await (
    const { count, values } of innerValues(model, windows, {
      inside: "loss",
      signal,
    })
  ) {
    const losses = values.get("loss")!;
    for (let i = 0; i < count * T; i++) sums[i % T]! += losses[i]!;
  }
  return Array.from(sums, (sum) => sum / all);
}

/**
 * Returns the variance of the first attention's output between windows, at each position. With a
 * causal mask the output is a mean over as many values as there are tokens so far, and the variance
 * of a mean of t different numbers falls as 1/t (Chi et al. 2023, arXiv 2305.13571): each token
 * holds a trace of how many came before it.
 *
 * @returns (T), the variance over windows, mean over channels
 */
export async function attentionSpread(
  model: Model,
  windows: Windows,
  signal?: AbortSignal,
): Promise<number[]> {
  const { T, count: all } = windows;
  const C = model.config.nEmbd;
  const sums = new Float64Array(T * C);
  const squares = new Float64Array(T * C);
  const reading = innerValues(model, windows, { inside: "attention", signal });
  for await (const { count, values } of reading) {
    const y = values.get("attention")!;
    for (let i = 0; i < count * T * C; i++) {
      sums[i % (T * C)]! += y[i]!;
      squares[i % (T * C)]! += y[i]! ** 2;
    }
  }
  return Array.from({ length: T }, (_, t) => {
    let variance = 0;
    for (let i = t * C; i < (t + 1) * C; i++) {
      variance += squares[i]! / all - (sums[i]! / all) ** 2;
    }
    return variance / C;
  });
}

/**
 * Makes a model with the same weights and a longer context. Computed tables, of sines and of
 * rotations, become longer; ALiBi and no positions at all need none.
 *
 * @throws {RangeError} for learned positions: there are no weights for the new ones
 */
export async function lengthened(
  model: Model,
  blockSize: number,
): Promise<Model> {
  const { backend } = model;
  if (model.config.position === "learned") {
    const { blockSize: learned } = model.config;
    throw refusal(
      RangeError,
      "lengthen model",
      `it has learned ${learned} positions, there is nothing for the other ${
        blockSize - learned
      }`,
      { fields: ["position", "blockSize"] },
    );
  }
  const config = modelConfig({ ...model.config, blockSize });
  return await Model.load(
    { config, tensors: await model.parameters() },
    { backend },
  );
}
