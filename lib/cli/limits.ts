/** When a run is over before its last step: its time is up, or nothing gets better any more. */

import type { TrainEvent } from "../events.ts";
import { duration } from "./progress.ts";
import type { RunHistory } from "./run_history.ts";
import type { RunOptions } from "./run_options.ts";

/** Watches the events of one run. */
export class Limits {
  readonly #maxTime: number | null;
  readonly #patience: number | null;
  readonly #begun = performance.now();
  #best: number;
  #evalsSinceBest: number;

  /** @param history what the run told before, if it goes on: patience does not begin anew */
  constructor(
    { maxTime, patience }: Pick<RunOptions, "maxTime" | "patience">,
    history?: RunHistory,
  ) {
    this.#maxTime = maxTime;
    this.#patience = patience;
    this.#best = history?.bestValLoss ?? Infinity;
    this.#evalsSinceBest = history?.evalsSinceBest ?? 0;
  }

  /** Why the run shall stop at an event, in words; undefined if it shall not. */
  reachedAt(event: TrainEvent): string | undefined {
    const maxTime = this.#maxTime ?? Infinity;
    if (performance.now() - this.#begun >= 1000 * maxTime) {
      return `${duration(maxTime)} are over`;
    }
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
