/**
 * Checks recorded runs of other implementations against this one:
 *
 *     deno task verify [--device reference|webgpu|wasm] FILE...
 *
 * tools/record/README.md describes the files. Prints, for each file,
 * every recorded quantity with its worst error and the tolerance. Exits 1 on a miss
 * or a file that it does not understand, 2 on a mistake in the command line.
 */

import { parseArgs } from "@std/cli/parse-args";
import { NoAdapterError } from "../lib/backends/backend.ts";
import { openBackend } from "../lib/backends/open.ts";
import { passes } from "./verify/comparison.ts";
import { formatOutcome } from "./verify/table.ts";
import { verifyFile } from "./verify/verify_file.ts";

const usage = `Usage: deno task verify [--device reference|webgpu|wasm] FILE...

Checks recordings of other implementations (tools/record/README.md describes the files).

  --device NAME   where to compute: reference (float64, the default), webgpu or wasm
  --help          this text`;

/** The parsed command line. */
interface Request {
  readonly device: "reference" | "webgpu" | "wasm";
  readonly files: readonly string[];
}

/** @throws {TypeError} if the arguments cannot be understood */
function readArguments(args: string[]): Request | "help" {
  const { device, help, _: files } = parseArgs(args, {
    string: ["device", "_"],
    boolean: ["help"],
    default: { device: "reference" },
    unknown: (flag) => {
      if (!flag.startsWith("-")) return true;
      throw new TypeError(`Cannot verify: ${flag} is not a known flag`);
    },
  });
  if (help) return "help";
  if (device !== "reference" && device !== "webgpu" && device !== "wasm") {
    throw new TypeError(
      `Cannot verify: device "${device}" is not reference, webgpu or wasm`,
    );
  }
  if (files.length === 0) {
    throw new TypeError("Cannot verify: no file is named");
  }
  return { device, files: files.map(String) };
}

/** Checks the files; returns the exit status. */
async function verify({ device, files }: Request): Promise<number> {
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

/** Runs the command line; returns the exit status. */
async function main(args: string[]): Promise<number> {
  try {
    const request = readArguments(args);
    if (request !== "help") return await verify(request);
    console.log(usage);
    return 0;
  } catch (error) {
    if (
      error instanceof TypeError && error.message.startsWith("Cannot verify")
    ) {
      console.error(`${error.message}\n\n${usage}`);
      return 2;
    }
    if (error instanceof NoAdapterError) {
      console.error(`${error.message}\nhint: ${error.hint}`);
      return 1;
    }
    throw error;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
