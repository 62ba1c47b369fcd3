/** Reads and replaces files. A file that cannot be read is never treated as a missing file. */

import { dirname } from "@std/path";
import type { ByteSource } from "../../formats/safetensors.ts";
import { CommandError, commandError, reasonOf } from "../command/errors.ts";

/**
 * Awaits a file operation; undefined if there is no such file.
 *
 * @param path the file, for the message
 * @throws {CommandError} for every other failure: permission denied, a directory, a broken disk
 */
export async function ifThere<Value>(
  path: string,
  operation: Promise<Value>,
): Promise<Value | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw commandError(`read ${path}`, reasonOf(error));
  }
}

/**
 * Returns true if there is something at `path`.
 *
 * @throws {CommandError} if the system refuses to say
 */
export async function exists(path: string): Promise<boolean> {
  return await ifThere(path, Deno.stat(path)) !== undefined;
}

/** A file that is read in parts, until it is disposed of. */
export class OpenFile implements ByteSource, Disposable {
  readonly size: number;
  readonly #path: string;
  readonly #file: Deno.FsFile;

  private constructor(path: string, file: Deno.FsFile, size: number) {
    this.#path = path;
    this.#file = file;
    this.size = size;
  }

  /** @throws {Error} if it cannot be opened, or is not a file */
  static async open(path: string): Promise<OpenFile> {
    const file = await Deno.open(path);
    const { isFile, size } = await file.stat();
    if (isFile) return new OpenFile(path, file, size);
    file.close();
    throw new Error("it is not a file");
  }

  /** @throws {CommandError} if it cannot be read, or has become shorter */
  async read(
    begin: number,
    end: number,
    bytes: Uint8Array = new Uint8Array(end - begin),
  ): Promise<Uint8Array> {
    try {
      await this.#file.seek(begin, Deno.SeekMode.Start);
      for (let at = 0; at < bytes.length;) {
        const count = await this.#file.read(bytes.subarray(at));
        if (count === null) {
          throw new Error("it became shorter while it was read");
        }
        at += count;
      }
    } catch (error) {
      throw commandError(`read ${this.#path}`, reasonOf(error));
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Bytes in a line at most: a string holds 2^29 - 24 UTF-16 units. */
const MAX_LINE = 2 ** 28;

/**
 * Yields the lines of a file, of any length, without holding more than one of them and a
 * piece of the file; undefined in place of a line that is not UTF-8. Yields nothing if there is no such file.
 * The lines of a piece come together, because a wait for each is slow.
 *
 * @throws {CommandError} if the file cannot be read, or has a line longer than 2^28 bytes
 */
export async function* readLineGroups(
  path: string,
): AsyncGenerator<(string | undefined)[]> {
  using file = await ifThere(path, Deno.open(path));
  if (file === undefined) return;
  const piece = new Uint8Array(2 ** 18);
  let held: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const count = await ifThere(path, file.read(piece));
    if (count === undefined || count === null) break;
    const bytes = piece.subarray(0, count);
    const ended = bytes.lastIndexOf(0x0a);
    if (ended >= 0) {
      yield linesOf(concat([...held, bytes.subarray(0, ended)]));
      held = [];
      size = 0;
    }
    const rest = bytes.slice(ended + 1);
    held.push(rest);
    size += rest.length;
    if (size > MAX_LINE) {
      throw commandError(
        `read ${path}`,
        `a line has more than ${MAX_LINE} bytes`,
      );
    }
  }
  if (size > 0) yield linesOf(concat(held));
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Yields the lines of some bytes; undefined in place of one that is not UTF-8. */
function linesOf(bytes: Uint8Array): (string | undefined)[] {
  const whole = decoded(bytes);
  if (whole !== undefined) return whole.split("\n");
  const lines: (string | undefined)[] = [];
  for (let start = 0; start <= bytes.length;) {
    const end = bytes.indexOf(0x0a, start);
    const line = bytes.subarray(start, end < 0 ? bytes.length : end);
    lines.push(decoded(line));
    start += line.length + 1;
  }
  return lines;
}

/** Concatenates parts. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/**
 * Writes a file under a temporary name and renames it, so that a complete file always exists.
 *
 * @param content its bytes, or a text
 * @throws {CommandError} if it cannot be written; then the old file, if any, is as it was
 */
export async function replaceFile(
  path: string,
  content: Uint8Array | string,
): Promise<void> {
  using file = await Replacement.begin(path);
  file.write(
    typeof content === "string" ? new TextEncoder().encode(content) : content,
  );
  await Replacement.commit([file]);
}

/** A file written under a temporary name next to the file that it will replace. */
export class Replacement implements Disposable {
  readonly #path: string;
  readonly #file: Deno.FsFile;
  /** Pieces not yet written: a system call for each line would be slow. */
  readonly #held = new Uint8Array(2 ** 16);
  #size = 0;
  #isCommitted = false;

  private constructor(path: string, file: Deno.FsFile) {
    this.#path = path;
    this.#file = file;
  }

  /** @throws {CommandError} if no file can be written there */
  static async begin(path: string): Promise<Replacement> {
    const options = { write: true, create: true, truncate: true };
    return await writing(
      path,
      async () =>
        new Replacement(path, await Deno.open(`${path}.partial`, options)),
    );
  }

  /**
   * Adds a piece.
   *
   * @throws {CommandError} if it cannot be written
   */
  write(piece: Uint8Array): void {
    if (this.#size + piece.length > this.#held.length) this.#flush();
    if (piece.length > this.#held.length) return this.#writeAll(piece);
    this.#held.set(piece, this.#size);
    this.#size += piece.length;
  }

  #flush(): void {
    this.#writeAll(this.#held.subarray(0, this.#size));
    this.#size = 0;
  }

  #writeAll(bytes: Uint8Array): void {
    try {
      writeAllSync(this.#file, bytes);
    } catch (error) {
      throw cannotWrite(this.#path, error);
    }
  }

  /**
   * Replaces the old files, once all new ones are written.
   *
   * @throws {CommandError} if a file cannot be replaced
   */
  static async commit(files: readonly Replacement[]): Promise<void> {
    for (const file of files) {
      file.#flush();
      // Otherwise a crash of the machine could leave the new name with no content.
      await writing(file.#path, () => file.#file.sync());
    }
    for (const file of files) {
      const path = file.#path;
      await writing(path, () => Deno.rename(`${path}.partial`, path));
      file.#isCommitted = true;
    }
  }

  /** Closes the file, and removes it unless it is in its place. */
  [Symbol.dispose](): void {
    this.#file.close();
    if (this.#isCommitted) return;
    try {
      Deno.removeSync(`${this.#path}.partial`);
    } catch {
      // An error that is already being thrown says more.
    }
  }
}

/**
 * Writes synchronously. There are many steps a second, and an awaited write waits for a thread
 * to find a core that the engine leaves free.
 */
export function writeAllSync(file: Deno.FsFile, bytes: Uint8Array): void {
  while (bytes.length > 0) bytes = bytes.subarray(file.writeSync(bytes));
}

/** Directories that were made. Those that are still empty are removed when this is disposed of. */
export class MadeDirectories implements Disposable {
  /** The lowest first. */
  readonly #paths: string[] = [];

  /**
   * Makes a directory and those above it, as far as they are missing.
   *
   * @throws {CommandError} if one cannot be made; then none of them is left
   */
  static async make(path: string): Promise<MadeDirectories> {
    const made = new MadeDirectories();
    try {
      await writing(path, () => made.#ensure(path));
    } catch (error) {
      made[Symbol.dispose]();
      throw error;
    }
    return made;
  }

  async #ensure(path: string): Promise<void> {
    const above = dirname(path);
    try {
      if (await this.add(path)) return;
    } catch (error) {
      const isMissing = error instanceof Deno.errors.NotFound;
      if (!isMissing || above === "." || above === path) throw error;
      await this.#ensure(above);
      return await this.#ensure(path);
    }
    if ((await Deno.stat(path)).isDirectory) return;
    throw commandError(`write ${path}`, "it is a file");
  }

  /** Makes a directory in an existing one; returns false if its name is taken. */
  async add(path: string): Promise<boolean> {
    try {
      await Deno.mkdir(path);
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return false;
      throw error;
    }
    this.#paths.unshift(path);
    return true;
  }

  [Symbol.dispose](): void {
    for (const path of this.#paths) {
      try {
        Deno.removeSync(path);
      } catch {
        return; // It is not empty, and so are those above it.
      }
    }
  }
}

/**
 * Runs an action that writes to `path`.
 *
 * @throws {CommandError} if it fails
 */
export async function writing<Value>(
  path: string,
  action: () => Value | Promise<Value>,
): Promise<Value> {
  try {
    return await action();
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

/** Returns the error that says that `path` cannot be written. */
export function cannotWrite(path: string, error: unknown): CommandError {
  if (error instanceof CommandError) return error;
  const missing = error instanceof Deno.errors.NotFound;
  return commandError(
    `write ${path}`,
    `${missing ? "there is no such directory" : reasonOf(error)}`,
  );
}
