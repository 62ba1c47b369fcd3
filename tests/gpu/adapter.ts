/** Tests that need a WebGPU adapter: skipped, by name, on machines without one. */

import { NoAdapterError } from "../../lib/backends/backend.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";

// Without it the software Vulkan driver prints noise.
if (Deno.build.os === "linux" && !Deno.env.get("XDG_RUNTIME_DIR")) {
  Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
}

/** True if tests on WebGPU are skipped here. With LM_REQUIRE_GPU=1 they fail instead. */
export const skipped: boolean = Deno.env.get("LM_REQUIRE_GPU") !== "1" &&
  !await hasAdapter();

/** What the name of a skipped test ends in. */
export const suffix: string = skipped ? " (skipped: no WebGPU adapter)" : "";

/** Registers a test that needs an adapter. */
export function gpuTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: name + suffix, ignore: skipped, fn });
}

async function hasAdapter(): Promise<boolean> {
  try {
    await using _backend = await openWebGpu({ adapter: "any" });
    return true;
  } catch (error) {
    if (error instanceof NoAdapterError) return false;
    throw error;
  }
}
