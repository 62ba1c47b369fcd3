/**
 * How many dispatches a training step of each preset takes, and how many launches on WebGPU. All launches of a step are in
 * one compute pass, as `tests/gpu/webgpu_test.ts` counts.
 */

import { assertEquals } from "@std/assert";
import { leastTarget } from "../../kernels/wgsl/kernel.ts";
import { lowerPlan } from "../../lib/backends/webgpu/lowering.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { type PresetName, presets } from "../../lib/config/presets.ts";
import { trainConfig } from "../../lib/config/train.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { trainPlan } from "../../lib/train/plan.ts";

const bindings = {
  maxStorageBuffersPerShaderStage: 8,
  minStorageBufferOffsetAlignment: 256,
};

/**
 * Dispatches of a step, launches with register tiles, and launches with workgroup tiles. Attention's gradient has two and
 * that of an embedding two; with workgroup tiles, a weight's gradient has a second one where its sum is cut into slices.
 */
const counts: Readonly<Record<PresetName, readonly number[]>> = {
  "default": [157, 161, 174],
  "portable": [183, 187, 203],
  "original": [84, 89, 106],
  "nano-cpu": [85, 90, 107],
  "nano-gpu": [147, 154, 179],
  "tiny": [52, 55, 55],
};

function planOf(name: PresetName): Plan {
  const { tokenizer, model, train: options } = presets[name];
  const vocabSize = { ascii: 128, chars: 65, bytes: 256 }[tokenizer];
  const config = modelConfig({ ...model, vocabSize });
  const train = trainConfig(options);
  return trainPlan(config, train, { B: train.batchSize, T: config.blockSize });
}

for (const [name, expected] of Object.entries(counts)) {
  Deno.test(`A step of ${name} takes ${expected[0]} dispatches`, () => {
    const plan = planOf(name as PresetName);
    const launches = (["register", "workgroup"] as const).map((tiling) =>
      lowerPlan(plan, { ...leastTarget, tiling }, bindings).passes.length
    );
    assertEquals([plan.dispatches.length, ...launches], expected);
  });
}
