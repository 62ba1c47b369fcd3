/** Whole models on the reference backend. */

import { openReference } from "../../lib/backends/reference.ts";
import type { Bench } from "../suites/model_bench.ts";
import { registerPrecision } from "../suites/model_precision.ts";
import { registerModels } from "../suites/models.ts";
import { variants } from "../../lib/checks/variants.ts";

const bench: Bench = {
  name: "Reference",
  open: () => Promise.resolve(openReference()),
  variants,
  // Float64's noise, 1e-16 of numbers of order 10, after a few hundred operations.
  tolerance: 1e-12,
};

registerModels(bench);
registerPrecision(bench);
