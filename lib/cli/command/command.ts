/** Commands: their arguments, their help, and the modules that run them. */

import type { Arguments } from "./arguments.ts";
import type { Flag, FlagTable, ValuesOf } from "./flag.ts";

/** A command of `lm` or of `lm lab`. */
export interface Command<Table extends FlagTable = FlagTable> {
  /** Its words, as in `lm NAME`. */
  readonly name: string;
  /** One line about it. */
  readonly summary: string;
  /** The argument without a dash; absent if the command takes none. */
  readonly operand?: Operand;
  /** Example argument lists, each with its effect. */
  readonly examples: readonly (readonly [args: string, does: string])[];
  readonly flags: Table;
  /** Loads its code, which help and usage errors do not need. */
  load(): Promise<Action<ValuesOf<Table>>>;
}

/** An argument without a dash. */
export interface Operand {
  readonly name: string;
  /** A sentence or two about it. */
  readonly help: string;
  /** True if it may be given several times. */
  readonly several?: boolean;
}

/** Runs a command; returns the exit code. `args` are the words after `lm` as they were typed. */
export type Action<Values> = (
  given: Arguments<Values>,
  args: readonly string[],
) => Promise<number>;

/** Returns all flags of a command, by their fields. */
export function flagsOf(
  { flags }: Pick<Command, "flags">,
): Readonly<Record<string, Flag<unknown>>> {
  return Object.assign({}, ...Object.values(flags));
}
