/** Selects a device by flags. */

import type { Device, DeviceOptions } from "../../backends/open.ts";
import { usageError } from "../command/errors.ts";

/**
 * Returns the device, threads and BLAS that `--device`, `--threads` and `--blas` ask for.
 *
 * @throws {UsageError} if they contradict each other
 */
export function placement(
  { device = "auto", threads, blas }: {
    readonly device?: Device;
    readonly threads?: number;
    readonly blas?: string;
  },
): DeviceOptions & { readonly device: Device } {
  if (threads !== undefined && device !== "auto" && device !== "wasm") {
    throw usageError(
      `use --threads with --device ${device}`,
      "only --device wasm has threads",
    );
  }
  if (
    blas !== undefined && !["auto", "off"].includes(blas) &&
    device !== "auto" && device !== "wasm"
  ) {
    throw usageError(
      `use --blas ${blas} with --device ${device}`,
      "only --device wasm calls a BLAS",
    );
  }
  return { device, threads, blas };
}
