/**
 * The conformance suite on WebGPU, with both families of kernels. Without an adapter the
 * tests are skipped, and say so in their names, unless LM_REQUIRE_GPU=1 demands one.
 */

import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { halfCases } from "../suites/half_cases.ts";
import { registerConformance } from "../suites/conformance.ts";
import { skipped, suffix } from "./adapter.ts";

for (const tiling of ["register", "workgroup"] as const) {
  registerConformance(`WebGPU with ${tiling} tiles${suffix}`, {
    open: () => openWebGpu({ adapter: "any", tiling }),
    ignore: skipped,
    // The longest elementwise cases are the same in both families: once is enough.
    ...(tiling === "workgroup" ? { largest: 1 << 21 } : {}),
  });
  registerConformance(`WebGPU with ${tiling} tiles and float16${suffix}`, {
    open: () => openWebGpu({ adapter: "any", tiling }),
    ignore: skipped,
    cases: halfCases,
  });
}
