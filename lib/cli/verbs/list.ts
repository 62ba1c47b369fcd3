/** `list`: the runs of a folder, one a line. */

import { join } from "@std/path";
import type { Arguments } from "../command/arguments.ts";
import { CommandError, commandError, exitCode } from "../command/errors.ts";
import { withoutHint } from "../../refusal.ts";
import { exists, ifThere } from "../run/files.ts";
import type { ListFlags } from "./flags.ts";
import { bytes } from "./model_card.ts";
import { program } from "../command/program.ts";
import { files } from "../run/directory.ts";
import { readRunSummary, type RunSummary } from "../run/summary.ts";
import { foldersIn, RUNS } from "../run/folder.ts";
import {
  room,
  showsUnicode,
  visible,
  warn,
  writeError,
  writeOutput,
} from "../terminal/terminal.ts";

/** Lists runs; returns the exit code. */
export async function list(
  { flags, operand }: Arguments<ListFlags>,
): Promise<number> {
  const folder = operand ?? RUNS;
  const runs: RunSummary[] = [];
  let lines = "";
  const isFile = (await ifThere(folder, Deno.stat(folder)))?.isFile ?? false;
  const folders = isFile ? undefined : await foldersIn(folder);
  if (folders === undefined && operand !== undefined) {
    throw commandError(
      `list ${folder}`,
      isFile ? "it is not a directory" : "there is no such directory",
      `${program()} list shows the runs in ${RUNS}/`,
    );
  }
  for (const path of folders ?? []) {
    try {
      runs.push(await readRunSummary(path));
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      const message = withoutHint(error);
      if (flags.json) lines += `${JSON.stringify({ path, error: message })}\n`;
      else warn(message);
    }
  }
  runs.sort((a, b) =>
    (b.began ?? "").localeCompare(a.began ?? "") ||
    a.name.localeCompare(b.name)
  );
  if (flags.json) {
    lines = runs.map((run) => `${JSON.stringify(run)}\n`).join("") + lines;
  } else if (runs.length > 0) {
    const width = Deno.stdout.isTerminal() ? room().columns : Infinity;
    lines = table(runs, width, showsUnicode() ? "…" : "~");
  }
  await writeOutput(lines);
  if (runs.length === 0) {
    const hint = await exists(join(folder, files.config))
      ? `it is a run itself: ${program()} info ${folder}`
      : `${program()} train makes one`;
    writeError(`there are no runs in ${folder}\nhint: ${hint}\n`);
  }
  return exitCode.ok;
}

/** A column of the table. */
interface Column {
  readonly title: string;
  readonly cell: (run: RunSummary) => string;
  /** The columns with the highest rank are the first to be left out if there is no room. */
  readonly rank: number;
  readonly isNumber: boolean;
}

function words(title: string, rank: number, cell: Column["cell"]): Column {
  return { title, cell, rank, isNumber: false };
}

function numbers(title: string, rank: number, cell: Column["cell"]): Column {
  return { title, cell, rank, isNumber: true };
}

const columns: readonly Column[] = [
  // Nothing in a name may move the cursor.
  words("NAME", 0, ({ name }) => visible(name).replace(/[\n\t]/g, " ")),
  words("PRESET", 6, ({ preset }) => preset),
  numbers("STEPS", 3, ({ step, maxSteps }) => `${step}/${maxSteps ?? "?"}`),
  numbers("TRAIN", 5, ({ trainLoss }) => trainLoss?.toFixed(4) ?? "-"),
  numbers("BEST VAL", 1, ({ bestValLoss }) => bestValLoss?.toFixed(4) ?? "-"),
  words("BEGAN", 4, ({ began }) => localTime(began)),
  numbers("SIZE", 7, (run) => bytes(run.bytes)),
  words("STATE", 2, ({ state }) => state),
];

/** Formats runs as a table at most `width` columns wide: the least important columns are left out first, and names are cut last. */
export function table(
  runs: readonly RunSummary[],
  width: number,
  cutMark: string,
): string {
  let shown = columns.map((column) => {
    const cells = [column.title, ...runs.map(column.cell)];
    return { ...column, cells, width: Math.max(...cells.map(lengthOf)) };
  });
  const total = () => shown.reduce((sum, { width }) => sum + width + 2, -2);
  while (total() > width && shown.length > 2) {
    const last = Math.max(...shown.map(({ rank }) => rank));
    shown = shown.filter(({ rank }) => rank !== last);
  }
  const [names] = shown as [typeof shown[number]];
  names.width = Math.max(8, names.width - Math.max(0, total() - width));
  names.cells = names.cells.map((name) => cut(name, names.width, cutMark));
  return names.cells.map((_, row) =>
    shown.map(({ cells, width, isNumber }) => {
      const text = cells[row]!;
      const space = " ".repeat(width - lengthOf(text));
      return isNumber ? space + text : text + space;
    }).join("  ").trimEnd() + "\n"
  ).join("");
}

/** Characters that take two columns: those of East Asia, and emoji. */
const wide =
  /[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u;

/** Returns the number of columns that a text takes. */
function lengthOf(text: string): number {
  return Array.from(text).reduce(
    (sum, char) => sum + (/\p{M}/u.test(char) ? 0 : wide.test(char) ? 2 : 1),
    0,
  );
}

/** Cuts a text to a number of columns; `mark` replaces the part cut off at its end. */
function cut(text: string, columns: number, mark: string): string {
  if (lengthOf(text) <= columns) return text;
  const chars = Array.from(text);
  while (lengthOf(chars.join("")) + mark.length > columns) chars.pop();
  return chars.join("") + mark;
}

/** Returns the local date and time of a moment in ISO 8601, to the minute. */
export function localTime(moment: string | null): string {
  const date = new Date(moment ?? NaN);
  if (Number.isNaN(date.getTime())) return "-";
  const two = (value: number) => String(value).padStart(2, "0");
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()];
  return `${day.map(two).join("-")} ${two(date.getHours())}:${
    two(date.getMinutes())
  }`;
}
