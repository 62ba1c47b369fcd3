/**
 * Attention maps. The backends fuse attention and do not keep its probabilities. This
 * file computes the probabilities again on the host, from the queries and keys of a
 * full pass and with the formulas of the reference kernels, so they hold for every
 * position encoding, mask, norm and head sharing.
 */

import type { Numbers } from "../backends/backend.ts";
import { dot, score, softmax } from "../../kernels/reference/attention.ts";
import type { ModelConfig } from "../config/model.ts";
import { checkTokens } from "./evaluate.ts";
import { forward } from "../graph/autodiff.ts";
import { compile } from "../graph/compile.ts";
import { layoutParameters } from "../graph/layout.ts";
import {
  type AttentionLayer,
  attentionLayers,
} from "../graph/ops/attention.ts";
import type { Plan } from "../graph/plan.ts";
import { Graph } from "../graph/tensor.ts";
import type { Model } from "./model.ts";
import { network } from "./network.ts";
import { internalsOf } from "./internals.ts";
import { cutPlan, PartRunner } from "./parts.ts";
import { checkWithin } from "../range.ts";
import { refusal } from "../refusal.ts";

/**
 * Returns the attention probabilities of a text: for each layer and head, the weight with
 * which position i attends to position j. Each row i sums to 1; with a causal mask the
 * weights of positions j > i are exactly 0.
 *
 * @param tokens T ids of one text, T from 1 to `blockSize`
 * @param options.first first row to return, from 0 to T - 1; 0 by default
 * @returns one array for each layer, (NH, T - first, T) row-major; an empty list if the model has no attention
 * @throws {RangeError} if there are too few or too many ids, an id is not in the vocabulary, or `first` is out of range
 *
 * @example
 * ```ts
 * import { assertAlmostEquals, assertEquals } from "@std/assert";
 * import { attentionMaps, Model } from "@lm/core";
 *
 * await using model = await Model.create(
 *   { vocabSize: 5, blockSize: 8, nLayer: 2, nHead: 3, nEmbd: 12 },
 *   { device: "reference", seed: 1 },
 * );
 * const T = 4;
 * const layers = await attentionMaps(model, Int32Array.of(3, 1, 4, 1));
 * assertEquals(layers.map(({ length }) => length), [3 * T * T, 3 * T * T]);
 * const [first] = layers;
 * assertEquals(first![1], 0); // head 0: position 0 sees nothing of position 1
 * const row = first!.subarray(2 * T, 3 * T); // head 0, position 2
 * assertAlmostEquals(row.reduce((a, b) => a + b), 1, 1e-12);
 * ```
 */
export async function attentionMaps(
  model: Model,
  tokens: Int32Array,
  { first = 0 }: { readonly first?: number | undefined } = {},
): Promise<Float64Array[]> {
  const T = tokens.length;
  if (T === 0) {
    throw refusal(RangeError, "map attention", "there are 0 tokens");
  }
  checkTokens(tokens, { B: 1, T }, model.config);
  const range = { least: 0, most: T - 1, whole: true };
  checkWithin(range, "map attention", { first });
  const { plan, layers } = attentionPlan(model.config, T);
  const internals = internalsOf(model);
  const cut = cutPlan(plan, "attention", T * model.flopsPerToken / 3);
  const program = await internals.bind(cut);
  try {
    program.buffer("tokens").write(tokens);
    await new PartRunner(program, internals.executor, "attention").run();
    const maps: Float64Array[] = [];
    for (const layer of layers) {
      const qkv = await program.buffer(`${layer.label}.qkv`).read();
      maps.push(probabilities(qkv, layer, first));
    }
    return maps;
  } finally {
    program.destroy();
  }
}

/**
 * Returns the plan of a full pass over one row whose attention inputs and outputs stay readable.
 *
 * Input: tokens (1, T). Outputs of each attention layer: LABEL.qkv (1, T, QKV), its input, and
 * LABEL.y (1, T, NH·HS), its output.
 */
export function attentionPlan(
  config: ModelConfig,
  T: number,
): { readonly plan: Plan; readonly layers: readonly AttentionLayer[] } {
  const graph = new Graph();
  const tokens = graph.input("tokens", [1, T], "i32");
  network(config, { graph, tokens });
  const layers = attentionLayers(graph);
  const outputs = layers.flatMap(({ label, qkv, y }) => [
    [`${label}.qkv`, qkv] as const,
    [`${label}.y`, y] as const,
  ]);
  const plan = compile({
    name: "attention",
    phases: { attention: forward(graph) },
    layout: layoutParameters(graph),
    outputs: Object.fromEntries(outputs),
  });
  return { plan, layers };
}

/** Returns attention probabilities (NH, T - first, T) from queries and keys (1, T, QKV). */
function probabilities(
  qkv: Numbers,
  { dims }: AttentionLayer,
  first: number,
): Float64Array {
  const { T, NH, NKV, HS, mask } = dims;
  const wide = Float64Array.from(qkv);
  const stride = (NH + 2 * NKV) * HS;
  const all = new Float64Array(NH * (T - first) * T);
  for (let h = 0; h < NH; h++) {
    const q = h * HS;
    const k = (NH + Math.floor(h * NKV / NH)) * HS;
    for (let i = first; i < T; i++) {
      const at = (h * (T - first) + i - first) * T;
      const row = all.subarray(at, at + T);
      const keys = mask === "causal" ? i + 1 : T;
      for (let j = 0; j < keys; j++) {
        const product = dot(wide, i * stride + q, wide, j * stride + k, HS);
        row[j] = score(product, { h, i, j }, dims);
      }
      softmax(row, keys);
    }
  }
  return all;
}
