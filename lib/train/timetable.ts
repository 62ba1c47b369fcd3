/** Whether a training run has the time for another step, and for the evaluation and the checkpoint that end it. */

import type { TrainConfig } from "../config/train.ts";
import type { MetricsReader } from "./metrics.ts";
import type { SplitLossMeter } from "./split_losses.ts";

/** The largest share of a run's time that is left for the last evaluation. */
const CLOSING = 0.25;

/** How long after the deadline an evaluation or a sample may still take, in milliseconds. */
const GRACE_MS = 1000;

/** The times of one run, in milliseconds on the clock of `performance.now()`. */
export class Timetable {
  /** How long the last checkpoint took. */
  savingMs = 0;
  readonly #begun: number;
  readonly #deadline: number;
  #batchMs = 0;

  /** @param deadline when the run has to be over; Infinity if it need not be */
  constructor(begun: number, deadline: number) {
    this.#begun = begun;
    this.#deadline = deadline;
  }

  /** How long a batch of an evaluation should take, as far as steps tell. */
  get batchMs(): number {
    return this.#batchMs;
  }

  /** Notes how long steps take. */
  measured(
    { msPerStep }: MetricsReader,
    { gradAccumulation }: TrainConfig,
  ): void {
    // A third of the work of a micro-batch.
    this.#batchMs = msPerStep / 3 / gradAccumulation;
  }

  /** Whether the deadline has passed. */
  get isOver(): boolean {
    return performance.now() > this.#deadline;
  }

  /** When evaluations and samples have to be over. */
  get graceEnd(): number {
    return this.#deadline + GRACE_MS;
  }

  /** Whether evaluations and samples have to be over now. */
  get isPastGrace(): boolean {
    return performance.now() > this.graceEnd;
  }

  /** Whether another step would end after the deadline, or leave too little time for what comes last. */
  isLate(metrics: MetricsReader, meter: SplitLossMeter): boolean {
    const evaluation = meter.expectedMs(this.#batchMs);
    const last = this.savingMs +
      Math.min(evaluation, CLOSING * (this.#deadline - this.#begun));
    const next = performance.now() + metrics.msToNextStep;
    return next > this.#deadline || next + last > this.graceEnd;
  }
}
