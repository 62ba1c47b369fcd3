/** Whole models on the CPU engine. */

import { openWasm } from "../../lib/backends/wasm/engine.ts";
import type { Bench } from "../suites/model_bench.ts";
import { registerModels } from "../suites/models.ts";
import { variants } from "../../lib/checks/variants.ts";

const bench: Bench = {
  name: "wasm",
  open: () => openWasm({ threads: 2 }),
  variants,
  // Logits are of order 1 to 10, and float32's noise in them is 1e-6 to 1e-5.
  tolerance: 1e-4,
};

registerModels(bench);
