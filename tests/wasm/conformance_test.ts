/** The conformance suite on the CPU engine, with both builds of its kernels. */

import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { registerConformance } from "../suites/conformance.ts";

for (const build of ["relaxed", "strict"] as const) {
  registerConformance(`wasm, ${build}`, {
    open: () => openWasm({ build, threads: 2 }),
  });
}
