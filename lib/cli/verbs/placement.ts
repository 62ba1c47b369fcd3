/** Selects a device by flags. */

import type { Device, DeviceOptions } from "../../backends/open.ts";
import { usageError } from "../command/errors.ts";

/**
 * Returns the device and threads that `--device` and `--threads` ask for.
 *
 * @throws {UsageError} if they contradict each other
 */
export function placement(
  { device = "auto", threads }: {
    readonly device?: Device;
    readonly threads?: number;
  },
): DeviceOptions & { readonly device: Device } {
  if (threads !== undefined && device !== "auto" && device !== "wasm") {
    throw usageError(
      `use --threads with --device ${device}`,
      "only --device wasm has threads",
    );
  }
  return { device, threads };
}
