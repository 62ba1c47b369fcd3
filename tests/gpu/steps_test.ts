/** Training steps of presets at their full size, on WebGPU against the CPU engine. */

import { assertEquals } from "@std/assert";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { stepChecks } from "../../lib/checks/steps.ts";
import { presetTraining } from "../../lib/checks/workloads.ts";
import { gpuTest } from "./adapter.ts";

for (const name of ["tiny", "default"] as const) {
  gpuTest(
    `One and ten training steps of ${name} are the CPU engine's`,
    async () => {
      await using backend = await openWebGpu({ adapter: "any" });
      const group = stepChecks(backend, presetTraining(name), { name });
      for await (const { check, status, found } of group.run()) {
        assertEquals(status, "ok", `${check}: ${found}`);
      }
    },
  );
}
