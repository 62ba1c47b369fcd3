/** The CPU engine against recorded PyTorch runs, within float32's tolerances; see `tools/record/README.md`. */

import { assertEquals } from "@std/assert";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import {
  assertVerified,
  goldenFile,
  goldenNames,
} from "../fixtures/golden_files.ts";

for (const build of ["relaxed", "strict"] as const) {
  Deno.test(`wasm, ${build}, agrees with the recorded runs`, async (test) => {
    await using backend = await openWasm({ build });
    for (const name of goldenNames) {
      await test.step(name, async () => {
        await assertVerified(name, goldenFile(name), backend);
      });
    }
    assertEquals(backend.allocatedBytes, 0, "memory is left behind");
  });
}
