/** Help as text, from the tables of `verbs.ts`: examples first, at most 80 columns. */

import { everyVerb, topNames } from "./every_verb.ts";
import { type Flag, flagName } from "./flag.ts";
import { program, VERSION } from "./program.ts";
import { labVerbs } from "../lab/verbs.ts";
import type { AnyVerb } from "./verbs.ts";

const WIDTH = 80;
/** Where the right column begins. */
const COLUMN = 26;

/** Help on the program. */
export function programHelp(): string {
  return [
    `lm ${VERSION}: train, sample and take apart small language models`,
    "",
    "Commands:",
    ...everyVerb.filter(({ name }) => topNames.includes(name))
      .flatMap(summaryEntry),
    "",
    "Experiments:",
    ...labVerbs.flatMap(summaryEntry),
    "",
    "First steps:",
    ...examples([
      ["train", "five minutes, on tiny Shakespeare"],
      ["sample", "text from the run just made"],
      ["report", "its curves, in one HTML file"],
    ]),
    "",
    `${program()} help COMMAND shows a command's flags and more examples.`,
  ].join("\n");
}

/** Help on `lab`: a line on each of its verbs, and an example of each. */
export function labHelp(): string {
  return [
    "lab: experiments; each is planned in a file before it runs",
    "",
    ...labVerbs.flatMap(summaryEntry),
    "",
    ...examples(labVerbs.map(({ examples }) => examples[0]!)),
    "",
    `${program()} help lab COMMAND shows a command's flags and more examples.`,
  ].join("\n");
}

function summaryEntry({ name, summary }: AnyVerb): string[] {
  return entry(name, summary);
}

/** Help on a verb. */
export function verbHelp(verb: AnyVerb): string {
  const { name, summary, operand, several, sections } = verb;
  const usage = [
    program(),
    name,
    ...(operand ? [`[${operand}${several ? " ..." : ""}]`] : []),
  ];
  return [
    `${usage.join(" ")} [FLAG ...]`,
    ...wrap(`${name}: ${summary}`, WIDTH),
    "",
    ...examples(verb.examples),
    ...Object.entries(sections).flatMap(([title, keys]) => [
      "",
      `${title}:`,
      ...keys.flatMap((key) => flagEntry(key, verb.flags[key]!)),
    ]),
    ...(operand === undefined ? [] : ["", ...wrap(operandHelp(verb), WIDTH)]),
  ].join("\n");
}

function operandHelp(
  { name, operand }: AnyVerb,
): string {
  if (operand === "STUDY") {
    return "STUDY is a directory with a plan.json, which lab plan writes.";
  }
  if (operand === "SHELL") return "SHELL is bash, zsh or fish.";
  if (operand === "DIR") return "DIR is a folder of runs; runs/ if left out.";
  if (operand === "EXHIBIT") {
    return "EXHIBIT is a mistake's name; without one, lab museum lists them.";
  }
  if (operand === "EXPERIMENT") {
    return "EXPERIMENT is ablate, scaling or positions.";
  }
  if (name === "lab works") {
    return "RUN is a run's directory or a checkpoint file. Without it, lab works describes the text alone.";
  }
  if (name === "report") {
    return "RUN is a run's directory; the newest run in runs/ if left out. Several are compared.";
  }
  if (name === "check") {
    return "RUN is a run's directory or a checkpoint file. Without it, check tests the machine alone.";
  }
  return name === "info"
    ? "RUN is a run's directory or a checkpoint file. Without RUN and flags, info describes the machine."
    : "RUN is a run's directory or a checkpoint file; the newest run in runs/ if left out.";
}

function examples(list: readonly (readonly [string, string])[]): string[] {
  const commands = list.map(([args]) => `${program()} ${args}`);
  const width = Math.max(...commands.map(({ length }) => length));
  const fits = list.every(([, does]) => width + does.length + 6 <= WIDTH);
  return list.flatMap(([, does], index) =>
    fits
      ? [`  ${commands[index]!.padEnd(width)}  # ${does}`]
      : [`  # ${does}`, `  ${commands[index]}`]
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

/** A left column and a right one, which is wrapped and begins on the next line if the left is too long. */
function entry(left: string, right: string): string[] {
  const indent = " ".repeat(COLUMN);
  const lines = wrap(right, WIDTH - COLUMN).map((line) => indent + line);
  const head = `  ${left}`;
  if (head.length + 2 > COLUMN) return [head, ...lines];
  const [first = "", ...rest] = lines;
  return [head + first.slice(head.length), ...rest];
}

function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${line} ${word}`;
    } else lines.push(word);
  }
  return lines;
}
