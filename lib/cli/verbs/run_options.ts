/**
 * Options that limit a run and select the files it keeps. `config.json` records them under `options`,
 * and a resumed run uses them again unless flags override them.
 */

import type { TrainConfig } from "../../config/train.ts";
import { EVAL_TOKENS } from "../../train/split_losses.ts";
import { given } from "../command/arguments.ts";
import { commandError, usageError } from "../command/errors.ts";
import { ValueError } from "../command/flag.ts";
import { type TrainFlags, trainFlags } from "./flags.ts";

/** The options, each a flag: `null` is off, and 0 of `evalTokens` is all. */
export type RunOptions = Readonly<
  Pick<
    TrainFlags,
    | "maxTime"
    | "patience"
    | "targetLoss"
    | "evalTokens"
    | "keep"
    | "onNonfinite"
  >
>;

const defaults: RunOptions = {
  maxTime: null,
  patience: null,
  targetLoss: null,
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

/**
 * Checks that an evaluation comes before the last step if the run has a target.
 *
 * @param isResumed true if only the target can change, not the interval
 * @throws {UsageError} if no evaluation could stop the run
 */
export function checkTarget(
  { targetLoss }: RunOptions,
  { evalInterval, maxSteps }: TrainConfig,
  isResumed: boolean,
): void {
  const stops = evalInterval > 0 && evalInterval < maxSteps;
  if (targetLoss === null || stops) return;
  throw usageError(
    `stop at --target-loss ${targetLoss} with --eval-interval ${evalInterval}`,
    `no evaluation comes before the last of ${maxSteps} steps`,
    isResumed
      ? "--target-loss off continues without it"
      : "an --eval-interval between 1 and the number of steps evaluates during the run",
  );
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
