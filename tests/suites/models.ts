/** All tests of whole models. */

import { registerAttentionMaps } from "./model_attention.ts";
import { registerCausality } from "./model_causality.ts";
import { registerDecoding } from "./model_decoding.ts";
import { registerFailures } from "./model_failures.ts";
import { registerGeneration } from "./model_generation.ts";
import { registerMemory } from "./model_memory.ts";
import { registerMuon } from "./model_muon.ts";
import { registerTraining } from "./model_training.ts";
import { registerVocabulary } from "./model_vocabulary.ts";
import type { Bench } from "./model_bench.ts";

/** Registers all tests of whole models on a backend. */
export function registerModels(bench: Bench): void {
  registerAttentionMaps(bench);
  registerCausality(bench);
  registerDecoding(bench);
  registerFailures(bench);
  registerGeneration(bench);
  registerMemory(bench);
  registerMuon(bench);
  registerTraining(bench);
  registerVocabulary(bench);
}
