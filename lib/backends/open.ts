/** Opens the backend for a device name, including the choice behind `device: "auto"`. Loads the code of the chosen backend only. */

import { type Backend, NoAdapterError, type ProductTables } from "./backend.ts";
import { refusal } from "../refusal.ts";

/** The device to compute on. `auto` selects a GPU if there is one, else `wasm`; only `webgpu` accepts a software adapter. */
export type Device = "auto" | "webgpu" | "wasm" | "reference";

/** The values of {@linkcode Device}. */
export const devices: readonly Device[] = [
  "auto",
  "webgpu",
  "wasm",
  "reference",
];

/** Options of {@linkcode openBackend}. */
export interface DeviceOptions {
  /** Threads of device `wasm`, from 1 to 256; one for each core if left out. Setting it with `auto` selects `wasm`. */
  readonly threads?: number | undefined;
  /**
   * The native library that multiplies matrices for device `wasm`: `auto` for the machine's OpenBLAS, BLIS, MKL or Accelerate,
   * the path of a library, or `off` for none; `auto` if left out. Needs Deno and its permission `--allow-ffi`.
   * Without a library, or if it fails a test, the engine multiplies by itself; see {@linkcode Backend.blas}.
   */
  readonly blas?: string | undefined;
  /** Variants of matrix products for GPUs, by the name of the adapter. Other devices ignore it. */
  readonly products?: ProductTables | undefined;
}

/** Returns the number of threads that the machine runs at once; 1 where the runtime does not report it. */
export function coreCount(): number {
  return navigator.hardwareConcurrency || 1;
}

/**
 * Opens a backend. Dispose of it when done.
 *
 * @throws {NoAdapterError} if the device needs a WebGPU adapter, or a feature of WebAssembly, and there is none
 * @throws {RangeError} if there is no such device, or it does not take these options
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
export async function openBackend(
  device: Device = "auto",
  { threads, blas = "auto", products }: DeviceOptions = {},
): Promise<Backend> {
  if (threads !== undefined && device !== "auto" && device !== "wasm") {
    throw refusal(
      RangeError,
      `open device ${device} with ${threads} threads`,
      "only wasm takes a number of threads",
    );
  }
  if (
    blas !== "auto" && blas !== "off" && device !== "auto" && device !== "wasm"
  ) {
    throw refusal(
      RangeError,
      `open device ${device} with BLAS ${blas}`,
      "only wasm calls one",
    );
  }
  switch (device) {
    case "auto":
      return threads === undefined
        ? await openHardware({ products }) ?? await openCpu({ blas })
        : await openCpu({ threads, blas });
    case "webgpu": {
      const { openWebGpu } = await import("./webgpu/engine.ts");
      return await openWebGpu({ adapter: "any", products });
    }
    case "wasm":
      return await openCpu({ threads, blas });
    case "reference": {
      const { openReference } = await import("./reference.ts");
      return openReference();
    }
    default:
      throw refusal(
        RangeError,
        `open device ${device}`,
        `it is none of ${devices.join(", ")}`,
      );
  }
}

/** Opens a GPU that is not software; returns undefined if the machine has none. */
export async function openHardware(
  { products }: Pick<DeviceOptions, "products"> = {},
): Promise<Backend | undefined> {
  const { openWebGpu } = await import("./webgpu/engine.ts");
  try {
    return await openWebGpu({ adapter: "hardware", products });
  } catch (error) {
    if (error instanceof NoAdapterError) return undefined;
    throw error;
  }
}

async function openCpu(options: DeviceOptions): Promise<Backend> {
  const { openWasm } = await import("./wasm/engine.ts");
  return await openWasm(options);
}
