/** Sources of text: files, folders, standard input. They are read as bytes, in pieces. */

import { join } from "@std/path";
import { CharacterSet } from "../../text/characters.ts";
import { CommandError, commandError, reasonOf } from "../command/errors.ts";
import { files as runFiles } from "../run/directory.ts";
import type { DocumentForm } from "./documents.ts";
import { PlainTextDecoder } from "./plain_text.ts";

/** The name of standard input in `--data` and `--prompt`. */
export const STDIN = "-";

/** Ends of the names of the files that are read of a folder. */
const textExtensions: readonly string[] = [
  ".txt",
  ".text",
  ".md",
  ".markdown",
];

/** Bytes that can be read more than once, from their beginning. */
export interface TextSource {
  /** Its name in messages. */
  readonly name: string;
  /** Its size in bytes. */
  readonly bytes: number;
  /** Rule that cuts the source into documents; absent for a text without documents. */
  readonly form?: DocumentForm;
  /** Reads the source; each piece is valid until the next is requested. */
  pieces(size: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** Returns a source that is in memory already. */
export function memorySource(name: string, bytes: Uint8Array): TextSource {
  return {
    name,
    bytes: bytes.length,
    async *pieces(size) {
      for (let at = 0; at < bytes.length; at += size) {
        yield bytes.subarray(at, at + size);
      }
    },
  };
}

/**
 * Finds the text that a path names: a file, the text files of a folder in the order of their
 * paths, or standard input. A source that can be read only once, such as a pipe, is copied to a temporary file.
 *
 * @param stack removes the temporary file
 * @throws {Error} if there is no text; the message is the reason alone
 */
export async function openSources(
  path: string,
  signal: AbortSignal,
  stack: AsyncDisposableStack,
): Promise<readonly TextSource[]> {
  if (path === STDIN) {
    return [await spool("standard input", Deno.stdin, { signal, stack })];
  }
  const { isFile, isDirectory, isCharDevice, isBlockDevice, size } = await Deno
    .stat(path);
  if (isCharDevice || isBlockDevice) throw new Error("it is a device");
  if (isFile) {
    const source = fileSource(path, { name: path, size });
    const isLines = /\.(jsonl|ndjson)$/i.test(path);
    return [isLines ? { ...source, form: "lines" } : source];
  }
  if (isDirectory) return await folderSources(path, signal);
  using pipe = await orAborted(Deno.open(path), signal);
  return [await spool(path, pipe, { signal, stack })];
}

function fileSource(
  path: string,
  { name, size: bytes }: { readonly name: string; readonly size: number },
): TextSource {
  return {
    name,
    bytes,
    async *pieces(size, signal) {
      try {
        using file = await Deno.open(path);
        yield* piecesOf(file, size, signal);
      } catch (error) {
        signal.throwIfAborted();
        const hint = "the file must stay there while it is read";
        throw unreadable(name, error, hint);
      }
    },
  };
}

/** Reads a stream to its end. */
export async function* piecesOf(
  stream: { read(buffer: Uint8Array): Promise<number | null> },
  size: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(size);
  for (;;) {
    signal.throwIfAborted();
    const count = await orAborted(stream.read(buffer), signal);
    if (count === null) return;
    yield buffer.subarray(0, count);
  }
}

/** Awaits a value that may never come, until the signal is aborted. */
async function orAborted<Value>(
  promise: Promise<Value>,
  signal: AbortSignal,
): Promise<Value> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function folderSources(
  folder: string,
  signal: AbortSignal,
): Promise<TextSource[]> {
  const { files, others } = await listFolder(folder, signal);
  if (files.length > 0) return files;
  throw new Error(
    `the folder has no ${textExtensions.join(", ")} file` +
      (others > 0 ? ` (files of other kinds: ${others})` : ""),
  );
}

/** Returns the text files of a folder and of those in it; names that begin with a dot and the directories of runs are left out, links to folders are not followed. */
async function listFolder(
  folder: string,
  signal: AbortSignal,
): Promise<{ files: TextSource[]; others: number }> {
  signal.throwIfAborted();
  const entries = await Array.fromAsync(Deno.readDir(folder));
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  // A run's text files are its samples.
  if (isRun(entries)) return { files: [], others: entries.length };
  const files: TextSource[] = [];
  let others = 0;
  for (const { name, isDirectory } of entries) {
    if (name.startsWith(".")) continue;
    const path = join(folder, name);
    if (isDirectory) {
      const inside = await listFolder(path, signal);
      for (const file of inside.files) files.push(file); // more than a call has arguments
      others += inside.others;
    } else if (textExtensions.some((end) => name.toLowerCase().endsWith(end))) {
      const { isFile, size } = await Deno.stat(path);
      if (!isFile) continue;
      const source = fileSource(path, { name: path, size });
      files.push({ ...source, form: "whole" });
    } else others++;
  }
  return { files, others };
}

function isRun(entries: readonly Deno.DirEntry[]): boolean {
  const names = new Set(entries.map(({ name }) => name));
  return names.has(runFiles.config) && names.has(runFiles.metrics);
}

/** Copies a stream to a temporary file, which the stack removes. */
async function spool(
  name: string,
  stream: { read(buffer: Uint8Array): Promise<number | null> },
  { signal, stack }: {
    readonly signal: AbortSignal;
    readonly stack: AsyncDisposableStack;
  },
): Promise<TextSource> {
  const path = await Deno.makeTempFile({ prefix: "lm-text-" });
  stack.defer(() => Deno.remove(path));
  let size = 0;
  using file = await Deno.open(path, { write: true });
  for await (const piece of piecesOf(stream, 1 << 16, signal)) {
    for (let rest = piece; rest.length > 0;) {
      rest = rest.subarray(await file.write(rest));
    }
    size += piece.length;
  }
  return fileSource(path, { name, size });
}

/** The most bytes of a text that is read at once. */
const MOST_AT_ONCE = 2 ** 26;

/**
 * Reads a short text at once, such as a prompt: a file, or standard input.
 *
 * @throws {CommandError} if there is none, if it is too long, or if it is no text
 */
export async function readText(
  path: string,
  signal: AbortSignal,
  hint = "expected a file of text, or - for standard input",
): Promise<string> {
  const name = path === STDIN ? "standard input" : path;
  const decoder = new PlainTextDecoder(name);
  let text = "";
  let size = 0;
  try {
    using file = path === STDIN
      ? undefined
      : await orAborted(Deno.open(path), signal);
    const stream = file ?? Deno.stdin;
    for await (const piece of piecesOf(stream, 1 << 16, signal)) {
      size += piece.length;
      if (size > MOST_AT_ONCE) {
        throw new Error(`it has more than ${MOST_AT_ONCE} bytes`);
      }
      text += decoder.push(piece);
    }
    return text + decoder.end();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof CommandError) throw error;
    throw unreadable(name, error, hint);
  }
}

/**
 * Returns the distinct characters of a file, of any length.
 *
 * @throws {CommandError} if the file cannot be read or is not text
 */
export async function charactersOf(
  path: string,
  signal: AbortSignal,
): Promise<string> {
  const characters = new CharacterSet();
  const decoder = new PlainTextDecoder(path);
  try {
    using file = await orAborted(Deno.open(path), signal);
    for await (const piece of piecesOf(file, 1 << 20, signal)) {
      characters.add(decoder.push(piece));
    }
    characters.add(decoder.end());
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof CommandError) throw error;
    throw unreadable(
      path,
      error,
      "--tokenizer chars:FILE takes a file of text",
    );
  }
  return characters.chars;
}

/** Returns the error that a text cannot be read, with the system's reason. */
export function unreadable(
  path: string,
  error: unknown,
  hint: string,
): CommandError {
  return commandError(`read ${path}`, reasonOf(error), hint);
}
