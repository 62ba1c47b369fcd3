/** Scripts that complete commands, flags and their words in a shell, made from the rows of `registry.ts`. */

import { flagsOf } from "./arguments.ts";
import type { Command } from "./command.ts";
import { UsageError } from "./errors.ts";
import { type Flag, flagName } from "./flag.ts";
import { nearest } from "./nearest.ts";
import { program } from "./program.ts";

/** The shells whose completions can be written. */
export const shells = ["bash", "zsh", "fish"] as const;

/** The words that can be completed. */
export interface Known {
  readonly commands: readonly Command[];
  /** The commands that are one word. */
  readonly topNames: readonly string[];
  /** The lab's commands, without the word before them. */
  readonly labNames: readonly string[];
}

/** A flag as it is typed. */
interface Option {
  /** Its name without dashes. */
  readonly name: string;
  readonly help: string;
  /** The words it takes, if it takes nothing else. */
  readonly words: readonly string[];
  readonly takesValue: boolean;
}

/**
 * Returns the completion script of a shell.
 *
 * @throws {UsageError} if the shell has none
 */
export function completions(shell: string | undefined, known: Known): string {
  switch (shell) {
    case "bash":
      return bash(known);
    case "zsh":
      return zsh(known);
    case "fish":
      return fish(known);
  }
  const near = nearest(shell ?? "", shells);
  throw new UsageError(
    shell === undefined
      ? "Cannot print completions: no shell was given"
      : `Cannot complete in ${shell}: the shells are ${shells.join(", ")}`,
    near === undefined
      ? `${program()} completions bash, or one of ${shells.join(", ")}`
      : `did you mean ${near}?`,
  );
}

function optionsOf(command: Command): Option[] {
  return Object.entries(flagsOf(command)).flatMap(([key, flag]) => {
    const name = flagName(key);
    const option = {
      name,
      help: flag.help,
      words: wordsOf(flag),
      takesValue: flag.value !== undefined && flag.optional === undefined,
    };
    return flag.negatable
      ? [option, { ...option, name: `no-${name}` }]
      : [option];
  });
}

function wordsOf({ words = [], value }: Flag<unknown>): readonly string[] {
  return words.length === 0 && value?.endsWith("|off") ? ["off"] : words;
}

/** Returns the `case` branches of the commands for bash and zsh. */
function cases(
  commands: readonly Command[],
  each: (options: readonly Option[]) => string[],
): string[] {
  return commands.flatMap((command) => [
    `    "${command.name}")`,
    ...each(optionsOf(command)).map((line) => `      ${line}`),
    "      ;;",
  ]);
}

/** Returns the cases that set `choices` after a flag that takes one of a few words. */
function wordCases(options: readonly Option[]): string[] {
  const withWords = options.filter(({ words }) => words.length > 0);
  if (withWords.length === 0) return [];
  return [
    'case "$prev" in',
    ...withWords.map(({ name, words }) =>
      `  --${name}) choices="${words.join(" ")}" ;;`
    ),
    "esac",
  ];
}

/** Sets `verb` and `choices` from `cur`, `prev` and the words typed, in bash and zsh alike. */
function chooseWords({ commands, topNames, labNames }: Known): string[] {
  return [
    `  case "$first" in`,
    `    lab) verb="lab $second" ;;`,
    `    help) verb="" ;;`,
    `    *) verb="$first" ;;`,
    `  esac`,
    `  if [ "$at" -le 1 ]; then choices="${
      topNames.join(" ")
    } --help --version"`,
    `  elif [ "$at" -eq 2 ] && [ "$first" = lab ]; then choices="${
      labNames.join(" ")
    }"`,
    `  elif [ "$at" -eq 2 ] && [ "$first" = help ]; then choices="${
      topNames.join(" ")
    }"`,
    `  elif [ "$at" -eq 2 ] && [ "$first" = completions ]; then choices="${
      shells.join(" ")
    }"`,
    `  else case "$verb" in`,
    ...cases(commands, (options) => [
      'case "$cur" in',
      `  -*) choices="${options.map(({ name }) => `--${name}`).join(" ")}" ;;`,
      "esac",
      ...wordCases(options),
    ]),
    "  esac; fi",
  ];
}

function bash(known: Known): string {
  return [
    "# bash completion for lm, written by lm completions bash",
    "_lm() {",
    "  local cur prev first second at verb choices",
    '  cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}"',
    '  # readline makes a word of its own of "=".',
    '  if [ "$cur" = "=" ]; then cur=""',
    '  elif [ "$prev" = "=" ]; then prev="${COMP_WORDS[COMP_CWORD-2]}"; fi',
    '  first="${COMP_WORDS[1]-}" second="${COMP_WORDS[2]-}" at="$COMP_CWORD"',
    '  choices=""',
    ...chooseWords(known),
    '  COMPREPLY=($(compgen -W "$choices" -- "$cur"))',
    "}",
    "complete -o default -F _lm lm",
    "",
  ].join("\n");
}

function zsh(known: Known): string {
  return [
    "#compdef lm",
    "# zsh completion for lm, written by lm completions zsh",
    "_lm() {",
    "  local cur prev first second at verb choices",
    '  cur="${words[CURRENT]}" prev="${words[CURRENT-1]}"',
    '  first="${words[2]}" second="${words[3]}" at=$((CURRENT - 1))',
    '  choices=""',
    ...chooseWords(known),
    '  if [ -n "$choices" ]; then compadd -- ${=choices}; else _files; fi',
    "}",
    'if [ "$funcstack[1]" = "_lm" ]; then _lm "$@"; else compdef _lm lm; fi',
    "",
  ].join("\n");
}

function fish({ commands, topNames, labNames }: Known): string {
  const quoted = (text: string) =>
    `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const typed = `__fish_seen_subcommand_from ${topNames.join(" ")}`;
  return [
    "# fish completion for lm, written by lm completions fish",
    ...commands.filter(({ name }) => topNames.includes(name)).map((
      { name, summary },
    ) =>
      `complete -c lm -f -n 'not ${typed}' -a ${name} -d ${quoted(summary)}`
    ),
    `complete -c lm -f -n 'not ${typed}' -a 'lab help'`,
    `complete -c lm -f -n '__fish_seen_subcommand_from help' -a '${
      topNames.join(" ")
    }'`,
    `complete -c lm -f -n '__fish_seen_subcommand_from completions' -a '${
      shells.join(" ")
    }'`,
    `complete -c lm -f -n '__fish_seen_subcommand_from lab; and not __fish_seen_subcommand_from ${
      labNames.join(" ")
    }' -a '${labNames.join(" ")}'`,
    ...commands.flatMap((command) => {
      const condition = command.name.split(" ")
        .map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
      // `report` is a command and one of the lab's.
      const only = command.name.includes(" ")
        ? condition
        : `${condition}; and not __fish_seen_subcommand_from lab`;
      return optionsOf(command).map(({ name, help, words, takesValue }) =>
        [
          `complete -c lm -n '${only}' -l ${name}`,
          ...(takesValue ? [words.length > 0 ? "-x" : "-r"] : []),
          ...(words.length > 0 ? [`-a ${quoted(words.join(" "))}`] : []),
          `-d ${quoted(help)}`,
        ].join(" ")
      );
    }),
    "",
  ].join("\n");
}
