/** `completions` and its flags. */

import { type CommonFlags, commonFlags, type Verb } from "./verbs.ts";

/** The shells whose completions can be written. */
export const shells = ["bash", "zsh", "fish"] as const;

/** `completions`. */
export const completionsVerb: Verb<Pick<CommonFlags, "help">> = {
  name: "completions",
  summary: "print a script that completes commands and flags in your shell",
  operand: "SHELL",
  examples: [
    ["completions bash > ~/.lm-completions", "then source that in ~/.bashrc"],
    ["completions zsh > ~/.zfunc/_lm", "in a directory of $fpath"],
    ["completions fish > ~/.config/fish/completions/lm.fish", "for fish"],
  ],
  flags: { help: commonFlags.help },
  sections: { Flags: ["help"] },
};
