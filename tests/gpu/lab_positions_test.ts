/** The order of tokens on WebGPU. */

import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { registerOrder } from "../suites/positions_order.ts";
import { skipped, suffix } from "./adapter.ts";

registerOrder({
  name: `WebGPU${suffix}`,
  open: () => openWebGpu({ adapter: "any" }),
  epsilon: 2 ** -23,
  ignore: skipped,
});
