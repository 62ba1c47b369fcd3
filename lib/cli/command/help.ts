/** Help as text, from the rows of `registry.ts`: examples first, at most 80 columns. */

import { wrap } from "../terminal/terminal.ts";
import type { Operand } from "./arguments.ts";
import type { Command } from "./command.ts";
import { type Flag, flagName } from "./flag.ts";
import { program, VERSION } from "./program.ts";
import { labCommands, topCommands } from "./registry.ts";

const WIDTH = 80;
/** The column at which the right column begins. */
const COLUMN = 26;

/** Returns the help on the program. */
export function programHelp(): string {
  return [
    `lm ${VERSION}: train, sample and study small language models`,
    "",
    "Commands:",
    ...topCommands.flatMap(summaryEntry),
    "",
    "Experiments:",
    ...labCommands.flatMap(summaryEntry),
    "",
    "First steps:",
    ...examples([
      "train # one to five minutes, on tiny Shakespeare",
      "sample # text from the run just made",
      "report # its curves, in one HTML file",
    ]),
    "",
    `${program()} help COMMAND shows a command's flags and more examples.`,
  ].join("\n");
}

/** Returns the help on `lab`: a line on each of its commands, and an example of each. */
export function labHelp(): string {
  return [
    "lab: experiments; each is planned in a file before it runs",
    "",
    ...labCommands.flatMap(summaryEntry),
    "",
    ...examples(labCommands.map(({ examples }) => examples[0]!)),
    "",
    `${program()} help lab COMMAND shows a command's flags and more examples.`,
  ].join("\n");
}

function usageOf({ name, several, required }: Operand): string {
  return required ? name : `[${name}${several ? " ..." : ""}]`;
}

function summaryEntry({ name, summary }: Command): string[] {
  return entry(name, summary);
}

/** Returns the help on a command. */
export function commandHelp(command: Command): string {
  const { name, summary, operand, flags } = command;
  const usage = [
    program(),
    name,
    ...(operand ? [usageOf(operand)] : []),
  ];
  return [
    `${usage.join(" ")} [FLAG ...]`,
    ...wrap(`${name}: ${summary}`, WIDTH),
    "",
    ...examples(command.examples),
    ...Object.entries(flags).flatMap(([title, group]) => [
      "",
      `${title}:`,
      ...Object.entries(group).flatMap(([key, flag]) => flagEntry(key, flag)),
    ]),
    ...(operand === undefined ? [] : ["", ...wrap(operand.help, WIDTH)]),
  ].join("\n");
}

function examples(list: Command["examples"]): string[] {
  const rows = list.map((example) => `${program()} ${example}`.split(" # "));
  const width = Math.max(...rows.map(([command]) => command!.length));
  const fits = rows.every(([, does]) => width + does!.length + 6 <= WIDTH);
  return rows.flatMap(([command, does]) =>
    fits
      ? [`  ${command!.padEnd(width)}  # ${does}`]
      : [`  # ${does}`, `  ${command}`]
  );
}

function flagEntry(
  key: string,
  { value, help, without, negatable, aliases = [] }: Flag<unknown>,
): string[] {
  const name = flagName(key);
  const [letter] = aliases.filter(({ length }) => length === 1);
  const short = letter === undefined ? "" : `-${letter}, `;
  const others = aliases.filter(({ length }) => length > 1);
  const also = others.length === 0
    ? ""
    : ` (also ${others.map((name) => `--${name}`).join(", ")})`;
  const left = `${short}--${negatable ? "[no-]" : ""}${name}`;
  const right = `${help}${also}` +
    (without === undefined ? "" : ` [${without}]`);
  return entry(value === undefined ? left : `${left} ${value}`, right);
}

/** Formats a left column and a right one, which is wrapped and begins on the next line if the left is too long. */
function entry(left: string, right: string): string[] {
  const indent = " ".repeat(COLUMN);
  const lines = wrap(right, WIDTH - COLUMN).map((line) => indent + line);
  const head = `  ${left}`;
  if (head.length + 2 > COLUMN) return [head, ...lines];
  const [first = "", ...rest] = lines;
  return [head + first.slice(head.length), ...rest];
}
