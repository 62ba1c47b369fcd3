/**
 * The conformance suite on WebGPU, with both families of kernels. Without an adapter the
 * tests are skipped, and say so in their names, unless LM_REQUIRE_GPU=1 demands one.
 */

import { NoAdapterError } from "../../lib/backends/backend.ts";
import { openWebGpu } from "../../lib/backends/webgpu.ts";
import { registerConformance } from "../conformance.ts";

const ignore = Deno.env.get("LM_REQUIRE_GPU") !== "1" && !await hasAdapter();
const suffix = ignore ? " (skipped: no WebGPU adapter)" : "";

for (const tiling of ["register", "workgroup"] as const) {
  registerConformance(`WebGPU with ${tiling} tiles${suffix}`, {
    open: () => openWebGpu({ adapter: "any", tiling }),
    ignore,
    // The longest elementwise cases are the same in both families: once is enough.
    ...(tiling === "workgroup" ? { largest: 1 << 21 } : {}),
  });
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
