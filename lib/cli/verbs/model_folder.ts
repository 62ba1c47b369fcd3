/** A folder with the files of a model, as other programs write it. */

import { basename, dirname, join } from "@std/path";
import type { FolderFiles } from "../../formats/imported.ts";
import type { ByteSource } from "../../formats/safetensors.ts";
import { commandError, reasonOf } from "../command/errors.ts";
import { OpenFile } from "../run/files.ts";

/** Opens the files of a folder for reading, until it is disposed of. */
export class ModelFolder implements FolderFiles, Disposable {
  readonly #path: string;
  /** The folders in which a link may end, by their real paths. */
  readonly #roots: readonly string[];
  readonly #signal: AbortSignal;
  readonly #stack = new DisposableStack();

  private constructor(
    path: string,
    { roots, signal }: {
      readonly roots: readonly string[];
      readonly signal: AbortSignal;
    },
  ) {
    this.#path = path;
    this.#roots = roots;
    this.#signal = signal;
  }

  /** @param signal ends the reading of its files */
  static async open(path: string, signal: AbortSignal): Promise<ModelFolder> {
    const real = await Deno.realPath(path);
    const roots = [real];
    // The hub's cache: models--NAME/snapshots/COMMIT has links into models--NAME/blobs.
    const above = dirname(real);
    if (basename(above) === "snapshots") {
      roots.push(join(dirname(above), "blobs"));
    }
    return new ModelFolder(path, { roots, signal });
  }

  /** @throws {CommandError} if the file cannot be read, or is a link that leads out of the folder */
  async open(name: string): Promise<ByteSource | undefined> {
    const path = join(this.#path, name);
    try {
      const real = await Deno.realPath(path);
      if (!this.#roots.includes(dirname(real))) {
        throw new Error("it is a link that leads out of the folder");
      }
      return this.#stack.use(await OpenFile.open(real));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw commandError(`read ${path}`, reasonOf(error));
    }
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}
