/**
 * How long a run goes on and what it keeps. `config.json` records this under `options`, and a run
 * that goes on has it again, unless its flags say otherwise.
 */

import { EVAL_TOKENS } from "../../train/split_losses.ts";
import { given } from "./arguments.ts";
import { UsageError } from "./errors.ts";
import { flagName } from "./flag.ts";

/** The options, each a flag. */
export interface RunOptions {
  /** Seconds after which the command ends, reading the text, evaluations and samples included; `null`: no limit. */
  maxTime: number | null;
  /** Evaluations in a row without a new lowest validation loss that end the run; `null`: no limit. */
  patience: number | null;
  /** Tokens of the validation split that an evaluation measures at most; 0: all. */
  evalTokens: number;
  /** How many checkpoints stay under their step, besides the last. */
  keep: number;
  /** What happens at a step whose loss or gradient is not finite. */
  onNonfinite: "stop" | "skip";
}

const defaults: Readonly<RunOptions> = {
  maxTime: null,
  patience: null,
  evalTokens: EVAL_TOKENS,
  keep: 0,
  onNonfinite: "stop",
};

/** The options' names. */
export const runOptionNames = Object.keys(defaults) as (keyof RunOptions)[];

/**
 * What flags say, else the record, else the defaults.
 *
 * @param recorded `options` of `config.json`; what makes no sense in it counts as not there
 * @throws {UsageError} if a flag's value is out of range
 */
export function runOptions(
  flags: Partial<RunOptions>,
  recorded?: unknown,
): Readonly<RunOptions> {
  const asked = given(flags, runOptionNames);
  for (const [key, value] of Object.entries(asked)) {
    if (isValid[key as keyof RunOptions](value)) continue;
    throw new UsageError(
      `Cannot use --${
        flagName(key)
      } ${value}: it is not an integer of at least ${
        key === "keep" || key === "evalTokens" ? 0 : 1
      }`,
    );
  }
  const before = Object(recorded) as Partial<RunOptions>;
  const sound = runOptionNames.filter((key) => isValid[key](before[key]));
  return { ...defaults, ...given(before, sound), ...asked };
}

const isCount = (value: unknown, least: number) =>
  Number.isSafeInteger(value) && (value as number) >= least;

const isValid: Record<keyof RunOptions, (value: unknown) => boolean> = {
  maxTime: (value) => value === null || isCount(value, 1),
  patience: (value) => value === null || isCount(value, 1),
  evalTokens: (value) => isCount(value, 0),
  keep: (value) => isCount(value, 0),
  onNonfinite: (value) => value === "stop" || value === "skip",
};
