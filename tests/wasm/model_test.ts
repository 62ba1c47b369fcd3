/** Whole models on the CPU engine. */

import { openWasm } from "../../lib/backends/wasm/engine.ts";
import type { Bench } from "../suites/model_bench.ts";
import { registerAttentionMaps } from "../suites/model_attention.ts";
import { registerCausality } from "../suites/model_causality.ts";
import { registerDecoding } from "../suites/model_decoding.ts";
import { registerFailures } from "../suites/model_failures.ts";
import { registerGeneration } from "../suites/model_generation.ts";
import { registerMemory } from "../suites/model_memory.ts";
import { registerMuon } from "../suites/model_muon.ts";
import { registerTraining } from "../suites/model_training.ts";
import { registerVocabulary } from "../suites/model_vocabulary.ts";
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
registerVocabulary(bench);
