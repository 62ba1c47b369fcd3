/** Limits that stop a run before its last step: no time is left, or the validation loss no longer improves. */

import { type Dataset, tokensWithin } from "../../text/dataset.ts";
import type { TrainEvent } from "../../train/events.ts";
import { CommandError } from "../command/errors.ts";
import { lowestAfter, type LowestLoss, type RunHistory } from "./history.ts";
import type { RunOptions } from "../command/run_options.ts";

/** What is limited: a run and its evaluations. */
interface LimitedRun {
  readonly dataset: Dataset;
  readonly options: RunOptions;
  /** The state from which the run is resumed; absent for a new run. */
  readonly resumed?: { readonly history: RunHistory };
}

/** Returns the command's deadline on the clock of `performance.now()`, which starts with the process. */
export function deadlineOf({ maxTime }: Pick<RunOptions, "maxTime">): number {
  return 1000 * (maxTime ?? Infinity);
}

/** Returns a signal that is also aborted at the deadline, for the work before training. */
export function inTime(
  signal: AbortSignal,
  options: Pick<RunOptions, "maxTime">,
): AbortSignal {
  const left = deadlineOf(options) - performance.now();
  if (left === Infinity) return signal;
  const late = new AbortController();
  const error = new CommandError(
    `Cannot train in --max-time ${options.maxTime}s: reading the text takes longer`,
    "--max-time counts from the start of the command",
  );
  const timer = setTimeout(
    () => late.abort(error),
    Math.min(left, 2 ** 31 - 1),
  );
  Deno.unrefTimer(timer);
  return AbortSignal.any([signal, late.signal]);
}

/** Returns the number of tokens that each evaluation of a run measures, if there is time for all. */
export function measuredTokens(
  { dataset, options }: LimitedRun,
): number {
  const limit = options.evalTokens || Infinity;
  return tokensWithin(limit, { length: dataset.size("val") }, dataset);
}

/** Watches the events of one run for evaluations that get no better. */
export class Limits {
  readonly #patience: number;
  readonly #tokens: number;
  #lowest: LowestLoss | undefined;

  /** Restores the lowest loss of a resumed run, so its patience does not start anew. */
  constructor(setup: LimitedRun) {
    this.#patience = setup.options.patience ?? Infinity;
    this.#tokens = measuredTokens(setup);
    this.#lowest = setup.resumed?.history.lowest.get(this.#tokens);
  }

  /** Returns the reason to stop the run at an event, in words; undefined if the run continues. */
  reachedAt(event: TrainEvent): string | undefined {
    // An evaluation that was cut short by time is not comparable with the others.
    if (event.kind !== "eval" || event.tokens !== this.#tokens) {
      return undefined;
    }
    this.#lowest = lowestAfter(this.#lowest, event.valLoss);
    const { loss, evalsSince } = this.#lowest;
    if (evalsSince < this.#patience) return undefined;
    return `no evaluation of the last ${this.#patience} had a lower loss than ${
      loss.toFixed(4)
    }`;
  }
}
