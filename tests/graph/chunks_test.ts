/** The pass that computes a loss in chunks: the plans that it changes, the memory that they take, and what it refuses. */

import { assertEquals, assertLess, assertThrows } from "@std/assert";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { backward, forward } from "../../lib/graph/autodiff.ts";
import { inChunks } from "../../lib/graph/chunks.ts";
import { add } from "../../lib/graph/ops/elementwise.ts";
import { linear } from "../../lib/graph/ops/linear.ts";
import { crossEntropy } from "../../lib/graph/ops/loss.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { Graph } from "../../lib/graph/tensor.ts";
import { evalPlan, rowsOfLogits } from "../../lib/model/plans.ts";
import { trainingPlans } from "../../lib/train/memory.ts";
import { trainPlan } from "../../lib/train/plan.ts";

/** GPT-2's vocabulary with a small network. */
const gpt2 = modelConfig({
  ...{ vocabSize: 50_257, blockSize: 128, nEmbd: 64, nLayer: 2, nHead: 4 },
  tiedHead: true,
});

function chunksOf({ dispatches }: Plan): number {
  return dispatches.filter(({ kernel }) => kernel === "crossEntropy").length;
}

/** Bytes of the slots. */
function slotsOf({ buffers }: Plan): number {
  return buffers.filter(({ kind }) => kind === "slot")
    .reduce((sum, { length }) => sum + 4 * length, 0);
}

Deno.test("Training with 50,257 tokens takes at most 150 MB, evaluation and samples included", async () => {
  await using backend = await openWasm({ threads: 2 });
  const train = trainConfig({ batchSize: 8 });
  const plans = trainingPlans({
    ...{ model: gpt2, train, blockSize: 128 },
    sample: { promptLength: 8, maxNewTokens: 100 },
  });
  // 4 copies of 3.3M parameters, 53 MB, and twice the logits of 64 rows, 26 MB; all logits would take 206 MB.
  assertLess(backend.measure(plans), 150e6);
});

Deno.test("A chunk has as many rows as the head's weight has columns or 16 MiB of logits, and a multiple of 64", () => {
  const chunks = (nEmbd: number, more: object = {}) =>
    chunksOf(
      trainPlan({ ...gpt2, nEmbd, ...more }, trainConfig(), { B: 8, T: 128 }),
    );
  assertEquals(chunks(64), 16);
  assertEquals(chunks(128), 8);
  assertEquals(chunks(32), 16);
  // At most 64 MiB of logits: 333 rows, so 320.
  assertEquals(chunks(768), 4);
  // 1024 rows of 16,384 are 64 MiB and stay whole.
  assertEquals(chunks(64, { vocabSize: 16_384 }), 1);
  // 16 MiB are 255 rows, so 192.
  assertEquals(chunks(64, { vocabSize: 16_385 }), 6);
  // Millions of rows with few tokens are no hundred thousands of chunks.
  const many = { ...gpt2, vocabSize: 60, nEmbd: 8, nHead: 1 };
  const wide = trainPlan(many, trainConfig(), { B: 2_000_000, T: 8 });
  assertEquals(chunksOf(wide), 229);
});

Deno.test("Logits that are an output stay whole", () => {
  const shape = { B: 2, T: 128, logits: true };
  const plans = [
    trainPlan(gpt2, trainConfig(), { ...shape, mostLogits: 1 }),
    evalPlan(gpt2, { ...shape, mostLogits: 1 }),
  ];
  for (const plan of plans) {
    assertEquals(chunksOf(plan), 1);
    const logits = plan.buffers.find(({ name }) => name === "logits")!;
    assertEquals([logits.kind, logits.length], ["output", 256 * 50_257]);
  }
});

Deno.test("Rows are read together while their logits take at most 64 MiB", () => {
  assertEquals(rowsOfLogits({ vocabSize: 65 }, 128), 2016);
  assertEquals(rowsOfLogits({ vocabSize: 50_257 }, 128), 2);
  assertEquals(rowsOfLogits({ vocabSize: 130_000 }, 1024), 1);
});

Deno.test("Slots do not grow with the number of chunks", () => {
  const slots = (B: number) =>
    slotsOf(evalPlan(gpt2, { B, T: 128, logits: false, mostLogits: 1 }));
  // Activations of 2,048 more tokens, a few of 4 · 64 numbers at a time, and no logits.
  assertLess(slots(20) - slots(4), 2048 * 4 * 64 * 4 * 4);
});

Deno.test("A loss that is not computed row by row is not split", () => {
  const graph = new Graph();
  const x = graph.input("x", [128, 8], "f32");
  const weight = graph.parameter("w", [16, 8], { kind: "normal", sd: 1 });
  const logits = linear(x, weight);
  const targets = graph.input("targets", [128], "i32");
  crossEntropy(add(logits, logits), targets, {
    smoothing: 0,
    gradientScale: 1,
  });
  const dispatches = [...forward(graph), ...backward(graph)];
  assertThrows(
    () => inChunks(dispatches, { most: 1 }),
    Error,
    "Cannot split the loss: add is not by rows",
  );
  assertEquals(inChunks(dispatches), dispatches);
});
