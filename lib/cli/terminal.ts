/**
 * The two streams: standard output, which is the product, and standard error,
 * which is for people and never a reason to fail. The status line is redrawn on
 * a terminal only; what it says is made in `progress.ts`.
 */

import { CommandError, OutputClosedError, reasonOf } from "./errors.ts";

const encoder = new TextEncoder();

/**
 * Writes to standard output; resolves when it is out.
 *
 * @throws {OutputClosedError} if nobody reads it any more
 * @throws {CommandError} if it cannot be written for another reason, as on a full disk
 */
export async function writeOutput(text: string): Promise<void> {
  let rest = encoder.encode(text);
  try {
    while (rest.length > 0) {
      rest = rest.subarray(await Deno.stdout.write(rest));
    }
  } catch (cause) {
    if (cause instanceof Deno.errors.BrokenPipe) {
      throw new OutputClosedError("Standard output is closed", { cause });
    }
    throw new CommandError(
      `Cannot write to standard output: ${reasonOf(cause)}`,
    );
  }
}

/** Writes to standard error, if anyone is there. */
export function writeError(text: string): void {
  let rest = encoder.encode(text);
  try {
    while (rest.length > 0) rest = rest.subarray(Deno.stderr.writeSync(rest));
  } catch {
    // Whoever closed standard error does not want to know.
  }
}

/**
 * Text as a terminal may have it: control characters, which could move the cursor
 * or worse, become their pictures (U+2400 and on). Line ends and tabs stay.
 */
export function visible(text: string): string {
  // deno-lint-ignore no-control-regex -- these are what it is about
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (char) => {
    const code = char.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : "\ufffd";
  });
}

/** A model's text as standard output gets it: as it is, but for control characters on a terminal. */
export function forOutput(text: string): string {
  return Deno.stdout.isTerminal() ? visible(text) : text;
}

/** Whether standard error can be redrawn. */
export function canRedraw(): boolean {
  return Deno.stderr.isTerminal() && Deno.env.get("TERM") !== "dumb";
}

/** Text in bold, where that can be seen and nobody objects (no-color.org). */
export function bold(text: string): string {
  return canRedraw() && !Deno.noColor ? `\x1b[1m${text}\x1b[22m` : text;
}

/** Columns of the terminal; 80 if it does not tell. */
export function columns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}

/** The shortest time between two drawings, in milliseconds. */
const REDRAW_MS = 80;

/** Columns that stay free at the right, for the ^C that a terminal writes: a line that wraps cannot be redrawn. */
const MARGIN = 3;

/** The last line of a terminal, redrawn in place. Nothing at all where it cannot be. */
export class StatusLine {
  readonly #enabled: boolean;
  #drawn = false;
  #drawnAt = -Infinity;

  constructor(enabled: boolean) {
    this.#enabled = enabled;
  }

  /** Draws what `text` gives for the terminal's width, unless that was done a moment ago. */
  show(
    text: (width: number) => string,
    { now = false }: { readonly now?: boolean } = {},
  ): void {
    if (!this.#enabled) return;
    const time = performance.now();
    if (!now && time - this.#drawnAt < REDRAW_MS) return;
    writeError(`\r\x1b[K${text(columns() - MARGIN)}`);
    this.#drawn = true;
    this.#drawnAt = time;
  }

  /** Takes the line away, before something else is written. */
  clear(): void {
    if (this.#drawn) writeError("\r\x1b[K");
    this.#drawn = false;
    this.#drawnAt = -Infinity;
  }
}
