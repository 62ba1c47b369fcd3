import { openReference } from "../../lib/backends/reference.ts";
import { openWasm } from "../../lib/backends/wasm.ts";
import { registerOrder } from "./positions_order.ts";

registerOrder({
  name: "reference",
  open: () => Promise.resolve(openReference()),
  epsilon: 2 ** -52,
});

registerOrder({
  name: "wasm",
  open: () => openWasm({ threads: 1 }),
  epsilon: 2 ** -23,
});
