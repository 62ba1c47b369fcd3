/** Whole models on WebGPU. */

import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
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

registerAttentionMaps(bench);
registerCausality(bench);
registerDecoding(bench);
registerGeneration(bench);
registerTraining(bench);
registerMuon(bench);
registerMemory(bench);
registerFailures(bench);
registerVocabulary(bench);
