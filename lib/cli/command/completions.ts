/** Scripts that complete commands, flags and their words in a shell, made from the rows of `registry.ts`. */

import { flagsOf } from "./arguments.ts";
import type { Command } from "./command.ts";
import { usageError } from "./errors.ts";
import { flagName } from "./flag.ts";
import { suggestion } from "./nearest.ts";
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
  const scripts = { bash, zsh, fish };
  const name = shells.find((name) => name === shell);
  if (name !== undefined) return scripts[name](known);
  throw usageError(
    "print completions",
    shell === undefined
      ? `no shell was given, one of ${shells.join(", ")}`
      : `${shell} is none of ${shells.join(", ")}`,
    suggestion(shell ?? "", shells, `${program()} completions bash`),
  );
}

/** Returns the words that may follow a first word which is not a command with flags. */
function wordsAfter({ topNames, labNames }: Known): [string, string][] {
  const others = topNames.filter((name) => name !== "help");
  const after = { lab: labNames, help: others, completions: shells };
  return Object.entries(after).map(([word, next]) => [word, next.join(" ")]);
}

function optionsOf(command: Command): Option[] {
  return Object.entries(flagsOf(command)).flatMap(([key, flag]) => {
    const { help, value, words = [], optional } = flag;
    const option = {
      name: flagName(key),
      help,
      words: words.length === 0 && value?.endsWith("|off") ? ["off"] : words,
      takesValue: value !== undefined && optional === undefined,
    };
    const denied = { ...option, name: `no-${option.name}` };
    return flag.negatable ? [option, denied] : [option];
  });
}

/** Returns the lines that set `choices` for a flag of a command, or for the value of one, in bash and zsh alike. */
function flagCase(command: Command): string[] {
  const options = optionsOf(command);
  const withWords = options.filter(({ words }) => words.length > 0);
  const names = options.map(({ name }) => `--${name}`).join(" ");
  return [
    `    "${command.name}")`,
    `      case "$cur" in -*) choices="${names}" ;; esac`,
    ...(withWords.length === 0 ? [] : [
      '      case "$prev" in',
      ...withWords.map(({ name, words }) =>
        `        --${name}) choices="${words.join(" ")}" ;;`
      ),
      "      esac",
    ]),
    "      ;;",
  ];
}

/** Returns the lines that set `choices` from `cur`, `prev` and the words typed, in bash and zsh alike. */
function chooseWords(known: Known): string[] {
  return [
    '  choices="" command="$first"',
    '  if [ "$first" = lab ]; then command="lab $second"; fi',
    '  if [ "$at" -le 1 ]; then',
    `    choices="${known.topNames.join(" ")} --help --version"`,
    ...wordsAfter(known).flatMap(([word, next]) => [
      `  elif [ "$at" -eq 2 ] && [ "$first" = ${word} ]; then`,
      `    choices="${next}"`,
    ]),
    '  elif [ "$first" != help ]; then case "$command" in',
    ...known.commands.flatMap(flagCase),
    "  esac; fi",
  ];
}

function bash(known: Known): string {
  return `# bash completion for lm, written by lm completions bash
_lm() {
  local cur prev first second at command choices
  cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}"
  # readline makes a word of its own of "=".
  if [ "$cur" = "=" ]; then cur=""
  elif [ "$prev" = "=" ]; then prev="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  first="\${COMP_WORDS[1]-}" second="\${COMP_WORDS[2]-}" at="$COMP_CWORD"
${chooseWords(known).join("\n")}
  COMPREPLY=($(compgen -W "$choices" -- "$cur"))
}
complete -o default -F _lm lm
`;
}

function zsh(known: Known): string {
  return `#compdef lm
# zsh completion for lm, written by lm completions zsh
_lm() {
  local cur prev first second at command choices
  cur="\${words[CURRENT]}" prev="\${words[CURRENT-1]}"
  first="\${words[2]}" second="\${words[3]}" at=$((CURRENT - 1))
${chooseWords(known).join("\n")}
  if [ -n "$choices" ]; then compadd -- \${=choices}; else _files; fi
}
if [ "$funcstack[1]" = "_lm" ]; then _lm "$@"; else compdef _lm lm; fi
`;
}

function fish(known: Known): string {
  const { commands, topNames } = known;
  const quoted = (text: string) =>
    `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const seen = "__fish_seen_subcommand_from";
  const begin = `complete -c lm -f -n 'not ${seen} ${topNames.join(" ")}'`;
  return [
    "# fish completion for lm, written by lm completions fish",
    ...commands.filter(({ name }) => topNames.includes(name)).map((
      { name, summary },
    ) => `${begin} -a ${name} -d ${quoted(summary)}`),
    `${begin} -a 'lab help'`,
    ...wordsAfter(known).map(([word, next]) =>
      `complete -c lm -f -n '${seen} ${word}; and not ${seen} ${next}' -a '${next}'`
    ),
    ...commands.flatMap((command) => {
      const words = command.name.split(" ").map((word) => `${seen} ${word}`);
      // `report` is a command and one of the lab's.
      if (words.length === 1) words.push(`not ${seen} lab`);
      const condition = words.join("; and ");
      return optionsOf(command).map(({ name, help, words, takesValue }) =>
        [
          `complete -c lm -n '${condition}' -l ${name}`,
          ...(takesValue ? [words.length > 0 ? "-x" : "-r"] : []),
          ...(words.length > 0 ? [`-a ${quoted(words.join(" "))}`] : []),
          `-d ${quoted(help)}`,
        ].join(" ")
      );
    }),
    "",
  ].join("\n");
}
