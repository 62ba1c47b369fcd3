/** Whole models on the reference backend. */

import { openReference } from "../lib/backends/reference.ts";
import type { Bench } from "./model_bench.ts";
import { registerAttentionMaps } from "./model_attention.ts";
import { registerCausality } from "./model_causality.ts";
import { registerDecoding } from "./model_decoding.ts";
import { registerFailures } from "./model_failures.ts";
import { registerGeneration } from "./model_generation.ts";
import { registerMemory } from "./model_memory.ts";
import { registerMuon } from "./model_muon.ts";
import { registerTraining } from "./model_training.ts";
import { variants } from "../lib/checks/variants.ts";

const bench: Bench = {
  name: "Reference",
  open: () => Promise.resolve(openReference()),
  variants,
  // Float64's noise, 1e-16 of numbers of order 10, after a few hundred operations.
  tolerance: 1e-12,
};

registerAttentionMaps(bench);
registerCausality(bench);
registerDecoding(bench);
registerGeneration(bench);
registerTraining(bench);
registerMuon(bench);
registerMemory(bench);
registerFailures(bench);
