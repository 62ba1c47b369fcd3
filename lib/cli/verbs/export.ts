/** `export`: writes a trained model for other programs. */

import { join } from "@std/path";
import type { ExportedFile } from "../../formats/exported.ts";
import {
  exportCheckpoint,
  type ExportFormatName,
  exportFormats,
} from "../../export/exports.ts";
import { isRefusal } from "../../refusal.ts";
import type { Arguments } from "../command/arguments.ts";
import { commandError, exitCode, usageError } from "../command/errors.ts";
import { program } from "../command/program.ts";
import { ifThere, MadeDirectories, Replacement } from "../run/files.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { StatusLine, writeOutput } from "../terminal/terminal.ts";
import type { ExportFlags } from "./flags.ts";
import { bytes } from "./model_card.ts";
import { OpenedModel } from "./trained_model.ts";

/** Writes the files; returns the exit code. */
export async function exportModel(
  { flags, operands }: Arguments<ExportFlags>,
): Promise<number> {
  const [run, out] = operands;
  const format = flags.to;
  if (format === undefined) {
    const names = Object.keys(exportFormats).join(", ");
    throw usageError("export", "--to is missing", `--to takes ${names}`);
  }
  if (run === undefined || out === undefined || operands.length > 2) {
    throw usageError(
      "export",
      `it takes a run and where to write, and ${operands.length} arguments were given`,
      `${program()} export RUN OUT --to ${format}`,
    );
  }
  await checkFree(out, format);
  using interrupt = new Interrupt();
  using opened = await OpenedModel.open(run, { best: flags.best });
  const { path } = opened;
  const checkpoint = await opened.read({
    weightsOnly: !exportFormats[format].hasTraining,
  });
  let files: readonly ExportedFile[];
  try {
    files = exportCheckpoint(format, checkpoint, { dtype: flags.dtype });
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw commandError(`export ${path} to ${format}`, error.reason, error.hint);
  }
  const size = await writeFiles(out, { format, files }, interrupt.signal);
  await writeOutput(`${out}: ${bytes(size)}\n`);
  return exitCode.ok;
}

/** Throws if `out` exists and would be overwritten. */
async function checkFree(out: string, format: ExportFormatName): Promise<void> {
  const isFolder = exportFormats[format].kind === "folder";
  const info = await ifThere(out, Deno.stat(out));
  if (info === undefined) return;
  const [first] = isFolder && info.isDirectory
    ? await Array.fromAsync(Deno.readDir(out))
    : [];
  if (isFolder && info.isDirectory && first === undefined) return;
  throw commandError(
    `export to ${out}`,
    first !== undefined
      ? `it holds ${first.name}`
      : isFolder
      ? "it is a file"
      : "it exists",
    `${format} is written to a new ${isFolder ? "or empty folder" : "file"}`,
  );
}

/** Writes all files, or none; returns their size in bytes. */
async function writeFiles(
  out: string,
  { format, files }: {
    readonly format: ExportFormatName;
    readonly files: readonly ExportedFile[];
  },
  signal: AbortSignal,
): Promise<number> {
  const isFolder = exportFormats[format].kind === "folder";
  const status = new StatusLine();
  using _made = isFolder ? await MadeDirectories.make(out) : undefined;
  using stack = new DisposableStack();
  let size = 0;
  try {
    const written: Replacement[] = [];
    for (const { name, pieces } of files) {
      const path = isFolder ? join(out, name) : out;
      const file = stack.use(await Replacement.begin(path));
      for (const piece of pieces()) {
        signal.throwIfAborted();
        file.write(piece);
        size += piece.length;
        status.show(() => `writing ${path}: ${bytes(size)}`);
      }
      written.push(file);
    }
    await Replacement.commit(written);
  } finally {
    status.clear();
  }
  return size;
}
