/** When a run is over before its last step: its time is up, or nothing gets better any more. */

import type { TrainEvent } from "../events.ts";
import { CommandError } from "./errors.ts";
import type { RunHistory } from "./run_history.ts";
import type { RunOptions } from "./run_options.ts";

/** When the command has to be over, on the clock of `performance.now()`, which began with the process. */
export function deadlineOf({ maxTime }: Pick<RunOptions, "maxTime">): number {
  return 1000 * (maxTime ?? Infinity);
}

/** The signal, aborted too when the command has to be over: for what comes before training. */
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

/** Watches the events of one run for evaluations that get no better. */
export class Limits {
  readonly #patience: number | null;
  #best: number;
  #evalsSinceBest: number;

  /** @param history what the run told before, if it goes on: patience does not begin anew */
  constructor(
    { patience }: Pick<RunOptions, "patience">,
    history?: RunHistory,
  ) {
    this.#patience = patience;
    this.#best = history?.bestValLoss ?? Infinity;
    this.#evalsSinceBest = history?.evalsSinceBest ?? 0;
  }

  /** Why the run shall stop at an event, in words; undefined if it shall not. */
  reachedAt(event: TrainEvent): string | undefined {
    if (event.event !== "eval") return undefined;
    const isLower = event.valLoss < this.#best;
    this.#evalsSinceBest = isLower ? 0 : this.#evalsSinceBest + 1;
    if (isLower) this.#best = event.valLoss;
    const patience = this.#patience ?? Infinity;
    if (this.#evalsSinceBest < patience) return undefined;
    return `no evaluation of the last ${patience} had a lower loss than ${
      this.#best.toFixed(4)
    }`;
  }
}
