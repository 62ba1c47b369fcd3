/** Whole models on the reference backend. */

import { openReference } from "../../lib/backends/reference.ts";
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
registerVocabulary(bench);
