/** The reference backend against recorded PyTorch runs; see `tools/record/README.md`. */

import { assertEquals } from "@std/assert";
import { openReference } from "../lib/backends/reference.ts";
import {
  assertVerified,
  goldenFile,
  goldenNames,
} from "./fixtures/golden_files.ts";

Deno.test("Golden runs are all there", () => {
  assertEquals(goldenNames.length, 44);
});

for (const name of goldenNames) {
  Deno.test(`Reference agrees with the recorded run ${name}`, async () => {
    await using backend = openReference();
    await assertVerified(name, goldenFile(name), backend);
    assertEquals(backend.allocatedBytes, 0, "memory is left behind");
  });
}
