/** One verb: its arguments are read, and then it runs or shows its help. */

import { type Arguments, parseArguments } from "./arguments.ts";
import { exitCode, UsageError } from "./errors.ts";
import { verbHelp } from "./help.ts";
import { writeOutput } from "../terminal/terminal.ts";
import type { Verb } from "./verbs.ts";

/**
 * Runs a verb; gives the exit code.
 *
 * @throws {UsageError} if its arguments make no sense and do not ask for help
 */
export async function run<Values extends { help: boolean }>(
  verb: Verb<Values>,
  args: readonly string[],
  action: (given: Arguments<Values>) => Promise<number>,
): Promise<number> {
  let given: Arguments<Values> | undefined;
  try {
    given = parseArguments(args, verb);
  } catch (error) {
    // Help is what someone with a wrong flag may need most.
    if (!(error instanceof UsageError && args.includes("--help"))) throw error;
  }
  if (given && !given.flags.help) return await action(given);
  await writeOutput(`${verbHelp(verb)}\n`);
  return exitCode.ok;
}
