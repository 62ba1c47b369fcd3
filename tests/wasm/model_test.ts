/** Whole models on the CPU engine. */

import { openWasm } from "../../lib/backends/wasm.ts";
import type { Bench } from "../model_bench.ts";
import { registerAttentionMaps } from "../model_attention.ts";
import { registerCausality } from "../model_causality.ts";
import { registerDecoding } from "../model_decoding.ts";
import { registerFailures } from "../model_failures.ts";
import { registerGeneration } from "../model_generation.ts";
import { registerMemory } from "../model_memory.ts";
import { registerMuon } from "../model_muon.ts";
import { registerTraining } from "../model_training.ts";
import { variants } from "../../lib/checks/variants.ts";

const bench: Bench = {
  name: "wasm",
  open: () => openWasm({ threads: 2 }),
  variants,
  // Logits are of order 1 to 10, and float32's noise in them is 1e-6 to 1e-5.
  tolerance: 1e-4,
};

registerAttentionMaps(bench);
registerCausality(bench);
registerDecoding(bench);
registerGeneration(bench);
registerTraining(bench);
registerMuon(bench);
registerMemory(bench);
registerFailures(bench);
