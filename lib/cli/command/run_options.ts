/**
 * Options that limit a run and select the files it keeps. `config.json` records them under `options`,
 * and a resumed run uses them again unless flags override them.
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
 * Returns each option from the flags, else from the record, else its default.
 *
 * @param recorded `options` of `config.json`; invalid values count as absent
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

/** Returns true if the flag can have this value. */
function isValue(name: keyof RunOptions, value: unknown): boolean {
  try {
    const text = value === null ? "off" : String(value);
    return trainFlags["The run"][name].read([text]) === value;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return false;
  }
}
