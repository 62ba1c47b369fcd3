/** Which backend to use: the choice behind `device: "auto"`. Only the chosen one is loaded. */

import type { Backend } from "./backend.ts";

/** Where to compute. `auto` takes a hardware adapter if there is one, else a software adapter. */
export type Device = "auto" | "webgpu" | "wasm" | "reference";

/** The values of {@linkcode Device}. */
export const devices: readonly Device[] = [
  "auto",
  "webgpu",
  "wasm",
  "reference",
];

/**
 * Opens a backend. Dispose of it when done.
 *
 * @throws {NoAdapterError} if the device needs a WebGPU adapter and there is none
 * @throws {RangeError} if there is no such device
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { openBackend } from "@lm/core";
 *
 * await using backend = await openBackend("reference");
 * assertEquals(backend.kind, "reference");
 * ```
 */
export async function openBackend(device: Device = "auto"): Promise<Backend> {
  switch (device) {
    case "auto":
    case "webgpu": {
      // Until there is a wasm engine, a software adapter is better than nothing.
      const { openWebGpu } = await import("./webgpu.ts");
      return await openWebGpu({ adapter: "any" });
    }
    case "reference": {
      const { openReference } = await import("./reference.ts");
      return openReference();
    }
    case "wasm": {
      const { openWasm } = await import("./wasm.ts");
      return await openWasm();
    }
    default:
      throw new RangeError(
        `Cannot open device ${device}: it is none of ${devices.join(", ")}`,
      );
  }
}
