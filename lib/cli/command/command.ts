/** Commands: their arguments, their help, and the modules that run them. */

import type { Arguments, Syntax } from "./arguments.ts";
import type { FlagTable, ValuesOf } from "./flag.ts";

/** A command of `lm` or of `lm lab`. */
export interface Command<Table extends FlagTable = FlagTable>
  extends Syntax<Table> {
  /** One line about it. */
  readonly summary: string;
  /** Example arguments, each with its effect after ` # `. */
  readonly examples: readonly `${string} # ${string}`[];
  /** Loads its code, which help and usage errors do not need. */
  load(): Promise<Action<ValuesOf<Table>>>;
}

/** Runs a command; returns the exit code. `args` are the words after `lm` as they were typed. */
export type Action<Values> = (
  given: Arguments<Values>,
  args: readonly string[],
) => Promise<number>;
