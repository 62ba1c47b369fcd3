/** The WebGPU backend against recorded PyTorch runs, within float32's tolerances; see `tools/record/README.md`. */

import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import {
  assertVerified,
  goldenFile,
  goldenNames,
} from "../fixtures/golden_files.ts";
import { skipped, suffix } from "./adapter.ts";

Deno.test({
  name: `WebGPU agrees with the recorded runs${suffix}`,
  ignore: skipped,
  fn: async (test) => {
    // One device for all, so that pipelines are compiled once.
    await using backend = await openWebGpu({ adapter: "any" });
    for (const name of goldenNames) {
      await test.step(name, async () => {
        await assertVerified(name, goldenFile(name), backend);
      });
    }
  },
});
