/** Help as text, from the tables of `verbs.ts`: examples first, at most 80 columns. */

import { type Flag, flagName } from "./flag.ts";
import { program, VERSION } from "./program.ts";
import { type Verb, verbs, type VerbSummary } from "./verbs.ts";

const WIDTH = 80;
/** Where the right column begins. */
const COLUMN = 26;

/** Help on the program. */
export function programHelp(): string {
  return verbList(
    `lm ${VERSION}: train, sample and take apart small language models`,
    verbs,
  );
}

/** A line on each of some verbs, and an example of each. */
export function verbList(
  title: string,
  verbs: readonly VerbSummary[],
): string {
  return [
    title,
    "",
    ...verbs.flatMap(({ name, summary }) => entry(name, summary)),
    "",
    ...examples(verbs.map(({ examples }) => examples[0]!)),
    "",
    `${program()} VERB --help says more.`,
  ].join("\n");
}

/** Help on a verb. */
export function verbHelp<Values>(verb: Verb<Values>): string {
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
      ...keys.flatMap((key) => flagEntry(String(key), verb.flags[key])),
    ]),
    ...(operand === undefined ? [] : ["", ...wrap(operandHelp(verb), WIDTH)]),
  ].join("\n");
}

function operandHelp(
  { name, operand }: Pick<Verb<never>, "name" | "operand">,
): string {
  if (operand === "STUDY") {
    return "STUDY is a directory with a plan.json, which says what is to be run.";
  }
  if (operand === "EXHIBIT") {
    return "EXHIBIT is a name from the list that comes without one.";
  }
  if (operand === "EXPERIMENT") {
    return "EXPERIMENT is ablate, scaling or positions.";
  }
  if (name === "lab works") {
    return "RUN is a run's directory or a checkpoint file. Without it, lab works is about the text alone.";
  }
  if (name === "report") {
    return "RUN is a run's directory; the newest run in runs/ if left out. Several are compared.";
  }
  if (name === "check") {
    return "RUN is a run's directory or a checkpoint file. Without it, check is about the machine alone.";
  }
  return name === "info"
    ? "RUN is a run's directory or a checkpoint file. Without it and without flags, info is about the machine."
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
  { value, help, without, negatable, alias }: Flag<unknown>,
): string[] {
  const name = flagName(key);
  const short = alias?.length === 1 ? `-${alias}, ` : "";
  const left = `${short}--${negatable ? "[no-]" : ""}${name}`;
  const right = without === undefined ? help : `${help} [${without}]`;
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
