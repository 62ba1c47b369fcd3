/**
 * Checks recorded runs of other implementations against this one:
 *
 *     deno task verify [--device reference|webgpu|wasm] FILE...
 *
 * tools/record/README.md describes the files. Prints, for each file,
 * every recorded quantity with its worst error and the tolerance. Exits 1 on a miss
 * or a file that it does not understand, 2 on a mistake in the command line.
 */

import { NoAdapterError } from "../lib/backends/backend.ts";
import { type Device, openBackend } from "../lib/backends/open.ts";
import { readFlags, refuseArguments } from "./flags.ts";
import { passes } from "./verify/comparison.ts";
import { formatOutcome } from "./verify/table.ts";
import { verifyFile } from "./verify/verify_file.ts";

const usage = `Usage: deno task verify [--device reference|webgpu|wasm] FILE...

Checks recordings of other implementations (tools/record/README.md describes the files).

  --device NAME   where to compute: reference (float64, the default), webgpu or wasm
  --help          this text`;

/** Checks the files; returns the exit status. */
async function verify(
  device: Device,
  files: readonly string[],
): Promise<number> {
  await using backend = await openBackend(device);
  console.log(`on ${backend.description}`);
  let [checks, misses, failedFiles] = [0, 0, 0];
  for (const file of files) {
    let bytes: Uint8Array;
    try {
      bytes = await Deno.readFile(file);
    } catch (error) {
      console.log(`\n${file}\n  cannot be read: ${(error as Error).message}`);
      failedFiles++;
      continue;
    }
    const outcome = await verifyFile(bytes, backend);
    console.log(`\n${formatOutcome(file, outcome)}`);
    checks += outcome.report.checks.length;
    misses += outcome.report.checks.filter((check) => !passes(check)).length;
    if (!outcome.passed) failedFiles++;
  }
  console.log(
    `\n${files.length} files, ${checks} quantities, ${misses} missed; ${failedFiles} files failed`,
  );
  return failedFiles === 0 ? 0 : 1;
}

if (import.meta.main) {
  const { flags: { device }, operands } = readFlags(
    { device: "reference" },
    usage,
  );
  if (!/^(reference|webgpu|wasm)$/.test(device)) {
    refuseArguments(`"${device}" is not reference, webgpu or wasm`, usage);
  }
  if (operands.length === 0) refuseArguments("no file is named", usage);
  try {
    Deno.exit(await verify(device as Device, operands));
  } catch (error) {
    if (!(error instanceof NoAdapterError)) throw error;
    console.error(`${error.message}\nhint: ${error.hint}`);
    Deno.exit(1);
  }
}
