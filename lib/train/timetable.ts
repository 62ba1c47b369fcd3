/** Time limits of a training run: whether another step and the final evaluation and checkpoint still fit. */

import type { TrainConfig } from "../config/train.ts";
import type { MetricsReader } from "./metrics.ts";
import type { SplitLossMeter } from "./split_losses.ts";

/** Largest fraction of a run's time that is reserved for the last evaluation. */
const CLOSING = 0.25;

/** Time after the deadline in which evaluations and samples may still run, in milliseconds. */
const GRACE_MS = 1000;

/** Times of one run, in milliseconds on the clock of `performance.now()`. */
export class Timetable {
  /** Duration of the last checkpoint. */
  savingMs = 0;
  readonly #begun: number;
  readonly #deadline: number;
  #batchMs = 0;

  /** @param deadline time at which the run must be over; Infinity for no deadline */
  constructor(begun: number, deadline: number) {
    this.#begun = begun;
    this.#deadline = deadline;
  }

  /** Duration of an evaluation batch, estimated from the duration of steps. */
  get batchMs(): number {
    return this.#batchMs;
  }

  /** Records the duration of steps. */
  measured(
    { msPerStep }: MetricsReader,
    { gradAccumulation }: TrainConfig,
  ): void {
    // An evaluation batch is a third of the work of a micro-batch.
    this.#batchMs = msPerStep / 3 / gradAccumulation;
  }

  /** True if the deadline has passed. */
  get isOver(): boolean {
    return performance.now() > this.#deadline;
  }

  /** Time at which evaluations and samples must be over. */
  get graceEnd(): number {
    return this.#deadline + GRACE_MS;
  }

  /** True if evaluations and samples must be over. */
  get isPastGrace(): boolean {
    return performance.now() > this.graceEnd;
  }

  /** Returns whether another step would miss the deadline, or leave too little time for the final evaluation. */
  isLate(metrics: MetricsReader, meter: SplitLossMeter): boolean {
    const evaluation = meter.expectedMs(this.#batchMs);
    const last = this.savingMs +
      Math.min(evaluation, CLOSING * (this.#deadline - this.#begun));
    const next = performance.now() + metrics.msToNextStep;
    return next > this.#deadline || next + last > this.graceEnd;
  }
}
