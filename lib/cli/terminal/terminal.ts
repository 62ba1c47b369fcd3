/**
 * The two streams: standard output, which is the product, and standard error,
 * which is for people and never a reason to fail. The status line is redrawn on
 * a terminal only; `progress.ts` makes its text.
 */

import {
  commandError,
  OutputClosedError,
  reasonOf,
} from "../command/errors.ts";

const encoder = new TextEncoder();

/**
 * Writes to standard output; resolves when the text is written.
 *
 * @throws {OutputClosedError} if its reader has closed it
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
    throw commandError("write to standard output", reasonOf(cause));
  }
}

/** Writes to standard error, unless it is closed. */
export function writeError(text: string): void {
  let rest = encoder.encode(text);
  try {
    while (rest.length > 0) rest = rest.subarray(Deno.stderr.writeSync(rest));
  } catch {
    // Standard error is closed: the message has no reader.
  }
}

/**
 * Returns text that is safe on a terminal: control characters, which could move the cursor
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

/** Returns a model's text for standard output: unchanged, except for control characters on a terminal. */
export function forOutput(text: string): string {
  return Deno.stdout.isTerminal() ? visible(text) : text;
}

/** Returns true if standard error can be redrawn. */
export function canRedraw(): boolean {
  return Deno.stderr.isTerminal() && Deno.env.get("TERM") !== "dumb";
}

/**
 * Returns true if the terminal shows more than ASCII: the locale is UTF-8 (POSIX: `LC_ALL`, else `LC_CTYPE`, else
 * `LANG`; empty variables are skipped), or on Windows, which has no locale variables, the terminal is known to.
 */
export function showsUnicode(
  variable: (name: string) => string | undefined = (name) => Deno.env.get(name),
  os: string = Deno.build.os,
): boolean {
  if (variable("TERM") === "dumb") return false;
  if (os === "windows") {
    return Boolean(variable("WT_SESSION") || variable("TERM_PROGRAM"));
  }
  const locale = variable("LC_ALL") || variable("LC_CTYPE") ||
    variable("LANG") || "";
  return /utf-?8/i.test(locale);
}

/** Returns text in bold, if the terminal shows it and NO_COLOR is not set (no-color.org). */
export function bold(text: string): string {
  return canRedraw() && !Deno.noColor ? `\x1b[1m${text}\x1b[22m` : text;
}

/** Writes a warning to standard error. */
export function warn(text: string): void {
  writeError(`${bold("warning:")} ${visible(text)}\n`);
}

/** The colours of curves, the first one modest. */
const TINTS = [90, 36];

/** Returns text in the colour of a curve, unless NO_COLOR is set (no-color.org). */
export function tinted(text: string, curve: number): string {
  return Deno.noColor ? text : `\x1b[${TINTS[curve] ?? 39}m${text}\x1b[39m`;
}

/** Returns the size of the terminal; 80 columns and 24 rows if it is unknown. */
export function room(): { columns: number; rows: number } {
  try {
    const { columns, rows } = Deno.consoleSize();
    return { columns: columns || 80, rows: rows || 24 };
  } catch {
    return { columns: 80, rows: 24 };
  }
}

/** The shortest time between two drawings, in milliseconds. */
const REDRAW_MS = 80;

/** Columns that stay free at the right, for the ^C that a terminal writes: a line that wraps cannot be redrawn. */
const MARGIN = 3;

/** The last line or lines of a terminal, redrawn in place. */
export class StatusLine {
  readonly #enabled: boolean;
  /** Lines on the terminal. */
  #drawn = 0;
  #drawnAt = -Infinity;

  /** @param enabled false to draw nothing; by default true if the terminal can redraw */
  constructor(enabled: boolean = canRedraw()) {
    this.#enabled = enabled;
  }

  /** Draws the lines that `text` returns for the terminal's width and height, unless they were drawn a moment ago. */
  show(
    text: (width: number, height: number) => string,
    { now = false }: { readonly now?: boolean } = {},
  ): void {
    if (!this.#enabled) return;
    const time = performance.now();
    if (!now && time - this.#drawnAt < REDRAW_MS) return;
    const { columns, rows } = room();
    const lines = text(columns - MARGIN, rows).split("\n");
    // Written in one piece, so that nothing flickers.
    writeError(this.#back() + lines.join("\n"));
    this.#drawn = lines.length;
    this.#drawnAt = time;
  }

  /** Erases the lines, before other text is written. */
  clear(): void {
    if (this.#drawn > 0) writeError(this.#back());
    this.leave();
  }

  /** Leaves the drawn lines where they are; called after other text was written below them. */
  leave(): void {
    this.#drawn = 0;
    this.#drawnAt = -Infinity;
  }

  /** Returns the control codes that move to the first of the lines and erase everything below. */
  #back(): string {
    const up = this.#drawn > 1 ? `\x1b[${this.#drawn - 1}A` : "";
    return `\r${up}\x1b[J`;
  }
}

/** Returns a text's words in lines of at most `width`; a longer word is broken. */
export function wrap(text: string, width: number): string[] {
  const lines = [""];
  const words = text.split(" ").flatMap((word) =>
    word.length <= width
      ? word
      : word.match(RegExp(`.{1,${width}}`, "gu")) ?? ""
  );
  for (const word of words) {
    const line = lines.at(-1)!;
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${line} ${word}`;
    } else lines.push(word);
  }
  return lines;
}
