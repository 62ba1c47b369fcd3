/** Prints verdicts: aligned lines for people, at any width, or JSON, one object a line. */

import type { CheckGroup, Status, Verdict } from "../../checks/verdict.ts";
import { room, visible, wrap, writeOutput } from "../terminal/terminal.ts";

/** The word of each status, and its colour by SGR codes: green, yellow, red, grey. */
const styles: Readonly<Record<Status, readonly [string, number]>> = {
  ok: ["ok", 32],
  warning: ["warning", 33],
  failed: ["FAIL", 31],
  skipped: ["skipped", 90],
  broken: ["BROKEN", 31],
};

/** Columns of the status, with the space before and after it. */
const STATUS = 10;
/** Columns of a check's name, with the space after it. */
const NAME = 22;
/** Below this width, the finding follows the name directly. */
const NARROW = 64;
/** No line is longer, however wide the terminal. */
const WIDEST = 100;

/** The width and style of printed verdicts. */
export interface Look {
  readonly width: number;
  readonly color: boolean;
}

/** Formats a group's title and its meaning. */
export function groupLines(
  { name, meaning }: Pick<CheckGroup, "name" | "meaning">,
  { width }: Look,
): string[] {
  return ["", ...wrap(`${name}: ${meaning}`, width)];
}

/** Formats a verdict, with its hint if it has one. */
export function verdictLines(
  { check, status, found, hint }: Verdict,
  { width, color }: Look,
): string[] {
  const [name, tint] = styles[status];
  const word = `  ${name}`.padEnd(STATUS);
  const text = visible(found).replaceAll("\n", " ");
  const narrow = width < NARROW;
  const left = narrow ? STATUS : STATUS + NAME;
  const [first = "", ...rest] = wrap(
    narrow ? `${check}: ${text}` : text,
    width - left,
  );
  const head = narrow ? "" : check.padEnd(NAME);
  const said = hint === undefined
    ? []
    : wrap(`hint: ${visible(hint)}`, width - left);
  return [
    (color ? `\x1b[${tint}m${word}\x1b[39m` : word) + head + first,
    ...[...rest, ...said].map((line) => " ".repeat(left) + line),
  ];
}

/** Counts verdicts and prints them as they come. */
export class CheckReport {
  readonly #json: boolean;
  readonly #look: Look;
  readonly #begun = performance.now();
  readonly #counts = { ok: 0, warning: 0, failed: 0, skipped: 0, broken: 0 };

  constructor(json: boolean) {
    this.#json = json;
    this.#look = {
      width: Math.min(WIDEST, room().columns),
      color: Deno.stdout.isTerminal() && !Deno.noColor,
    };
  }

  /** True if a check has failed, or broke down before it could show anything. */
  get failed(): boolean {
    return this.#counts.failed > 0 || this.#counts.broken > 0;
  }

  /** Runs a group's checks and prints their verdicts. */
  async run(group: CheckGroup, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#json) await this.#write(groupLines(group, this.#look));
    for await (const verdict of group.run()) {
      // The result of an interrupted check does not count.
      signal.throwIfAborted();
      this.#counts[verdict.status]++;
      await this.#write(
        this.#json
          ? [JSON.stringify({ event: "check", group: group.name, ...verdict })]
          : verdictLines(verdict, this.#look),
      );
    }
  }

  /** Prints the totals. */
  async end(): Promise<void> {
    const seconds = (performance.now() - this.#begun) / 1000;
    const { ok, warning, failed, skipped, broken } = this.#counts;
    if (this.#json) {
      await this.#write([
        JSON.stringify({ event: "end", ...this.#counts, seconds }),
      ]);
      return;
    }
    const parts = [
      failed > 0 ? `${failed} FAILED` : "nothing failed",
      ...(broken > 0 ? [`${broken} broke down`] : []),
      `${ok} ok`,
      ...(warning > 0 ? [`${warning} to look at`] : []),
      ...(skipped > 0 ? [`${skipped} skipped`] : []),
    ];
    await this.#write([
      "",
      ...wrap(`${parts.join(", ")}; ${seconds.toFixed(0)} s`, this.#look.width),
    ]);
  }

  #write(lines: readonly string[]): Promise<void> {
    return writeOutput(lines.map((line) => `${line}\n`).join(""));
  }
}
