/** Whole models on WebGPU. */

import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import type { Bench } from "../suites/model_bench.ts";
import { registerPrecision } from "../suites/model_precision.ts";
import { registerModels } from "../suites/models.ts";
import { variant } from "../../lib/checks/variants.ts";
import { skipped, suffix } from "./adapter.ts";

/** Every way to attend and to place tokens, each of which has kernels of its own for caches. */
const names = [
  ...[
    "the defaults",
    "position learned",
    "position rope",
    "position rope-half",
  ],
  ...["position alibi with 3 heads", "attention off", "2 key heads for 4"],
  ...["1 head of 7", "query-key norm", "mask none", "mask zeroed"],
  ...["mask finite and weak", "Llama", "all at once"],
];

const bench: Bench = {
  name: `WebGPU${suffix}`,
  open: () => openWebGpu({ adapter: "any" }),
  ignore: skipped,
  variants: names.map(variant),
  // Logits are of order 1 to 10, and float32's noise in them measured 1e-6 to 1e-5.
  tolerance: 1e-4,
};

registerModels(bench);
registerPrecision(bench);
