/** Selects a device: by flags, and for `--device auto` by measuring. */

import { join } from "@std/path";
import { cacheDirectory } from "../../../data/load.ts";
import type { Device, DeviceOptions } from "../../backends/open.ts";
import {
  chooseDevice,
  type DeviceVerdict,
  type Work,
} from "../../checks/device_choice.ts";
import { digits } from "../../report/numbers.ts";
import { VERSION } from "../command/program.ts";
import { readProductTables } from "../run/product_file.ts";
import { VerdictFile } from "../run/verdict_file.ts";
import { warn, writeError } from "../terminal/terminal.ts";
import { usageError } from "../command/errors.ts";

/** The flags that select a device. */
interface DeviceFlags {
  readonly device?: Device;
  readonly threads?: number;
  readonly blas?: string;
}

/**
 * Returns the device for a piece of work: that of the flags, or for `auto` the fastest, and says so in a line if the
 * machine has a GPU. Times are kept in the cache, so a machine is measured once for each shape of work.
 *
 * @throws {UsageError} if the flags contradict each other
 */
export async function placementFor(
  work: Work,
  flags: DeviceFlags,
): Promise<ReturnType<typeof placement>> {
  const where = placement(flags);
  if (where.device !== "auto" || where.threads !== undefined) return where;
  const cache = cacheDirectory();
  const versions = `lm ${VERSION}, Deno ${Deno.version.deno}`;
  const { device, verdict } = await chooseDevice(work, {
    blas: where.blas,
    products: where.products,
    store: cache === undefined
      ? undefined
      : new VerdictFile(join(cache, "devices.json"), versions),
    onMeasure: ({ description }) =>
      writeError(`measuring ${description} and the CPU, once\n`),
  });
  if (verdict !== undefined) report(verdict, { device, unit: work.unit });
  return { ...where, device };
}

/** Writes why a device was chosen. */
function report(
  { gpuMs, cpuMs, refused }: DeviceVerdict,
  { device, unit }: { readonly device: Device; readonly unit: Work["unit"] },
): void {
  if (gpuMs !== null) {
    const times = `${digits(gpuMs)} ms on the GPU, ${
      digits(cpuMs)
    } ms on the CPU`;
    writeError(`a ${unit} takes ${times}: chose --device ${device}\n`);
  }
  if (refused !== null) {
    warn(
      `the GPU is not used: ${refused}; \`check --device webgpu\` tells more`,
    );
  }
}

/**
 * Returns the device, threads and BLAS that `--device`, `--threads` and `--blas` ask for.
 *
 * @throws {UsageError} if they contradict each other
 */
export function placement(
  { device = "auto", threads, blas }: DeviceFlags,
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
  const mayBeGpu = device === "webgpu" || device === "auto";
  const products = mayBeGpu ? readProductTables() : undefined;
  return { device, threads, blas, products };
}
