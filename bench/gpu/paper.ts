/**
 * Prints the shortest time of a training step on paper: for each dispatch the longer of its arithmetic at the
 * processor's peak and its operands at the memory's bandwidth. A bound from below: it knows no launches, no caches
 * and no product that misses the peak.
 *
 *     deno run -A bench/gpu/paper.ts
 */

import { leastTarget } from "../../kernels/wgsl/kernel.ts";
import { lowerPlan } from "../../lib/backends/webgpu/lowering.ts";
import { type PresetName, presets } from "../../lib/config/presets.ts";
import { presetTraining } from "../../lib/checks/workloads.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { describe } from "./steps.ts";

/**
 * Peaks in float32, in TFLOP/s, and bandwidths of memory in GB/s: NVIDIA's whitepaper of the Ada architecture, NVIDIA's data
 * sheet of the H200 (SXM), and Apple's technical specifications, which give no TFLOP/s: 10 cores of 128 lanes at 1.5 GHz
 * are others' measurements.
 */
const gpus = [
  { name: "Apple M4", tera: 3.8, gigabytes: 120 },
  { name: "RTX 4090", tera: 82.6, gigabytes: 1008 },
  { name: "H200", tera: 67, gigabytes: 4800 },
] as const;

const target = { ...leastTarget, tiling: "workgroup" } as const;
const bindings = {
  maxStorageBuffersPerShaderStage: 8,
  minStorageBufferOffsetAlignment: 256,
};

const rows = (Object.keys(presets) as PresetName[]).map((preset) => {
  const { model, train } = presetTraining(preset);
  const shape = { B: train.batchSize, T: model.blockSize };
  const plan = trainPlan(model, train, shape);
  const ops = plan.dispatches.map(describe);
  const sum = (of: (op: typeof ops[number]) => number) =>
    ops.reduce((total, op) => total + of(op), 0);
  return {
    preset,
    passes: lowerPlan(plan, target, bindings).passes.length,
    gflop: sum(({ flops }) => flops) / 1e9,
    gigabytes: sum(({ bytes }) => bytes) / 1e9,
    ms: gpus.map(({ tera, gigabytes }) =>
      sum(({ flops, bytes }) =>
        Math.max(flops / tera / 1e9, bytes / gigabytes / 1e6)
      )
    ),
  };
}).sort((a, b) => a.gflop - b.gflop);

const cells = (values: readonly (string | number)[]) =>
  `| ${values.join(" | ")} |`;
console.log(cells([
  ...["preset", "passes", "GFLOP", "GB of operands"],
  ...gpus.map(({ name }) => `${name}, ms`),
]));
console.log(cells(["-", ...Array(6).fill("-:")]));
for (const { preset, passes, gflop, gigabytes, ms } of rows) {
  console.log(cells([
    ...[`\`${preset}\``, passes, gflop.toFixed(2), gigabytes.toFixed(3)],
    ...ms.map((one) => one.toPrecision(2)),
  ]));
}
