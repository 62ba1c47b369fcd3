/** All verbs, those of `lab` included, and finding one by the words of a command line. */

import { checkVerb } from "../verbs/check_verb.ts";
import { completionsVerb } from "./completions_verb.ts";
import { UsageError } from "./errors.ts";
import { labVerbs } from "../lab/verbs.ts";
import { listVerb } from "../verbs/list_verb.ts";
import { nearest } from "./nearest.ts";
import { program } from "./program.ts";
import { reportVerb } from "../verbs/report_verb.ts";
import { type AnyVerb, verbs } from "./verbs.ts";

/** All verbs, in the order of help; names of the lab's begin with `lab `. */
export const everyVerb: readonly AnyVerb[] = [
  ...verbs,
  listVerb,
  reportVerb,
  checkVerb,
  completionsVerb,
  ...labVerbs,
];

/** The commands that are one word, in the order of help. */
export const topNames: readonly string[] = [
  ...everyVerb.map(({ name }) => name).filter((name) => !name.includes(" ")),
  ...["lab", "help"],
];

/** The lab's commands, without the word before them. */
export const labNames: readonly string[] = labVerbs.map(({ name }) =>
  name.slice("lab ".length)
);

/**
 * The error for a command that does not exist, naming the nearest that does.
 *
 * @param within `lab`, if the word follows that
 */
export function unknownCommand(name: string, within = ""): UsageError {
  const known = within === "" ? topNames : labNames;
  const prefix = within === "" ? "" : `${within} `;
  if (name.startsWith("-")) {
    const near = nearest(name.replace(/^-+/, ""), known);
    return new UsageError(
      `Cannot use ${name} here: a command comes first`,
      near === undefined
        ? `the commands are ${known.join(", ")}`
        : `did you mean ${near}?`,
    );
  }
  // A command of the lab without the word lab before it is a likely mistake.
  const inLab = labVerbs.find((verb) => verb.name === `lab ${name}`);
  const near = inLab?.name ?? nearest(name, known);
  const other = inLab === undefined && near !== undefined
    ? prefix + near
    : near;
  return new UsageError(
    `Cannot run ${prefix}${name}: there is no such command`,
    other === undefined
      ? `${program()} ${prefix}--help lists the commands`
      : `did you mean ${other}?`,
  );
}
