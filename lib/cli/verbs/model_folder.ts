/** A folder with the files of a model, as other programs write it. */

import { basename, dirname, join } from "@std/path";
import type { FolderFiles } from "../../formats/imported.ts";
import type { ByteSource } from "../../formats/safetensors.ts";
import { commandError, reasonOf } from "../command/errors.ts";

/** Opens the files of a folder for reading, until it is disposed of. */
export class ModelFolder implements FolderFiles, Disposable {
  readonly #path: string;
  /** The folders in which a link may end, by their real paths. */
  readonly #roots: readonly string[];
  readonly #stack = new DisposableStack();

  private constructor(path: string, roots: readonly string[]) {
    this.#path = path;
    this.#roots = roots;
  }

  static async open(path: string): Promise<ModelFolder> {
    const real = await Deno.realPath(path);
    const roots = [real];
    // The hub's cache: models--NAME/snapshots/COMMIT has links into models--NAME/blobs.
    const above = dirname(real);
    if (basename(above) === "snapshots") {
      roots.push(join(dirname(above), "blobs"));
    }
    return new ModelFolder(path, roots);
  }

  /** @throws {CommandError} if the file cannot be read, or is a link that leads out of the folder */
  async open(name: string): Promise<ByteSource | undefined> {
    const path = join(this.#path, name);
    try {
      const real = await Deno.realPath(path);
      if (!this.#roots.includes(dirname(real))) {
        throw new Error("it is a link that leads out of the folder");
      }
      const file = this.#stack.use(await Deno.open(real));
      const { isFile, size } = await file.stat();
      if (!isFile) throw new Error("it is not a file");
      return { size, read: (begin, end) => readRange(file, path, begin, end) };
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw commandError(`read ${path}`, reasonOf(error));
    }
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

async function readRange(
  file: Deno.FsFile,
  path: string,
  begin: number,
  end: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - begin);
  await file.seek(begin, Deno.SeekMode.Start);
  for (let at = 0; at < bytes.length;) {
    const count = await file.read(bytes.subarray(at));
    if (count === null) {
      throw commandError(`read ${path}`, "it became shorter while it was read");
    }
    at += count;
  }
  return bytes;
}
