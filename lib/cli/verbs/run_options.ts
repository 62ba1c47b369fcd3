/**
 * Options that limit a run and select the files it keeps. `config.json` records them under `options`,
 * and a resumed run uses them again unless flags override them.
 */

import { EVAL_TOKENS } from "../../train/split_losses.ts";
import { given } from "../command/arguments.ts";
import { commandError } from "../command/errors.ts";
import { ValueError } from "../command/flag.ts";
import { type TrainFlags, trainFlags } from "./flags.ts";

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
  const valid = runOptionNames.filter((name) => isValue(name, before[name]));
  return {
    ...defaults,
    ...given(before, valid),
    ...given(flags, runOptionNames),
  };
}

/** Returns true if the flag can have this value. */
function isValue(name: keyof RunOptions, value: unknown): boolean {
  try {
    return trainFlags["The run"][name].read([String(value ?? "off")]) === value;
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    return false;
  }
}

/** Returns the command's deadline on the clock of `performance.now()`, which starts with the process. */
export function deadlineOf({ maxTime }: Pick<RunOptions, "maxTime">): number {
  return 1000 * (maxTime ?? Infinity);
}

/** Returns a signal that is also aborted at the deadline, for the work before training. */
export function inTime(signal: AbortSignal, options: RunOptions): AbortSignal {
  const left = deadlineOf(options) - performance.now();
  if (left === Infinity) return signal;
  const late = new AbortController();
  const error = commandError(
    `train in --max-time ${options.maxTime}s`,
    "reading the text takes longer",
    "--max-time counts from the start of the command",
  );
  const most = 2 ** 31 - 1;
  Deno.unrefTimer(setTimeout(() => late.abort(error), Math.min(left, most)));
  return AbortSignal.any([signal, late.signal]);
}
