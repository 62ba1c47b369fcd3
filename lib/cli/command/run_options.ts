/**
 * How long a run goes on and what it keeps. `config.json` records this under `options`, and a run
 * that goes on has it again, unless its flags say otherwise.
 */

import { EVAL_TOKENS } from "../../train/split_losses.ts";
import { type TrainFlags, trainFlags } from "../verbs/flags.ts";
import { given } from "./arguments.ts";

/** The options, each a flag: `null` is off, and 0 of `evalTokens` is all. */
export type RunOptions = Readonly<
  Pick<
    TrainFlags,
    "maxTime" | "patience" | "evalTokens" | "keep" | "onNonfinite"
  >
>;

const defaults: RunOptions = {
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
 */
export function runOptions(
  flags: Partial<RunOptions>,
  recorded?: unknown,
): RunOptions {
  const before = Object(recorded) as Partial<RunOptions>;
  const sound = runOptionNames.filter((name) => isValue(name, before[name]));
  return {
    ...defaults,
    ...given(before, sound),
    ...given(flags, runOptionNames),
  };
}

/** Whether a flag gives this value. */
function isValue(name: keyof RunOptions, value: unknown): boolean {
  try {
    const text = value === null ? "off" : String(value);
    return trainFlags["The run"][name].read([text]) === value;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return false;
  }
}
