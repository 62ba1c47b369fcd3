/** Runs the program. A command's code is loaded when it is needed, so help and usage errors need not wait for it. */

import { type Arguments, parseArguments } from "./arguments.ts";
import type { Command } from "./command.ts";
import { exitCode, explain, UsageError } from "./errors.ts";
import { commandHelp, labHelp, programHelp } from "./help.ts";
import { VERSION } from "./program.ts";
import { commandNamed } from "./registry.ts";
import { visible, writeError, writeOutput } from "../terminal/terminal.ts";

/**
 * Runs the program.
 *
 * @returns its exit code: 0 done, 1 failed, 2 wrong usage, 130 after Ctrl-C, 143 after SIGTERM
 */
export async function main(args: readonly string[]): Promise<number> {
  try {
    quietVulkan();
    return await dispatch(args);
  } catch (error) {
    const { text, code } = explain(error);
    // Contents and names of files must not control the terminal.
    if (text !== "") writeError(`${visible(text)}\n`);
    return code;
  }
}

/** Sets a variable without which Vulkan's drivers complain on standard error; the drivers make no use of it. */
function quietVulkan(): void {
  if (Deno.build.os === "linux" && !Deno.env.get("XDG_RUNTIME_DIR")) {
    Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
  }
}

async function dispatch(words: readonly string[]): Promise<number> {
  const inLab = words[0] === "lab";
  const [name, ...args] = inLab ? words.slice(1) : words;
  const overview = inLab ? labHelp : programHelp;
  if (name === undefined) {
    writeError(`${overview()}\n`);
    return exitCode.usage;
  }
  if (/^(--help|-h)$/.test(name)) return await print(overview());
  if (name === "help") {
    return await print(help(inLab ? ["lab", ...args] : args));
  }
  if (!inLab && /^(--version|-V)$/.test(name)) {
    return await print(`lm ${VERSION}`);
  }
  return await run(commandNamed(name, inLab), args, words);
}

async function print(text: string): Promise<number> {
  await writeOutput(`${text}\n`);
  return exitCode.ok;
}

/** Returns the help on the command that the words name; without words, on the program. */
function help(words: readonly string[]): string {
  const [first, second] = words.filter((word) => !/^(-h|--help)$/.test(word));
  if (first === undefined || first === "help") return programHelp();
  if (first !== "lab") return commandHelp(commandNamed(first, false));
  return second ? commandHelp(commandNamed(second, true)) : labHelp();
}

/** Runs a command, or shows its help; returns the exit code. */
async function run(
  command: Command,
  args: readonly string[],
  words: readonly string[],
): Promise<number> {
  let given: Arguments<Record<string, unknown>> | undefined;
  try {
    given = parseArguments(args, command);
  } catch (error) {
    // A user with a wrong flag may need help most.
    if (!(error instanceof UsageError && args.includes("--help"))) throw error;
  }
  if (given === undefined || given.flags["help"]) {
    return await print(commandHelp(command));
  }
  const action = await command.load();
  return await action(given, words);
}
