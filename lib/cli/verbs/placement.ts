/** Selects a device by flags. */

import type { Device, DeviceOptions } from "../../backends/open.ts";
import { UsageError } from "../command/errors.ts";

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
    throw new UsageError(
      `Cannot use --threads with --device ${device}`,
      "--threads works with --device wasm only",
    );
  }
  return { device, threads };
}
