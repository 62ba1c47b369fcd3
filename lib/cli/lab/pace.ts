/** How far a study is, and how long the rest takes at the pace so far. */

import { duration } from "../progress.ts";

/** Counts the trials of a study that all processes together have done. */
export class StudyPace {
  readonly #total: number;
  readonly #before: number;
  readonly #now: () => number;
  readonly #begun: number;

  /**
   * @param total planned trials
   * @param before those that were done already
   * @param now a clock, in milliseconds
   */
  constructor(
    total: number,
    before: number,
    now: () => number = () => performance.now(),
  ) {
    this.#total = total;
    this.#before = before;
    this.#now = now;
    this.#begun = now();
  }

  /** A counter, and the time left once a trial has been finished; parallel jobs make it shorter. */
  text(done: number): string {
    const counter = `${done} of ${this.#total} trials`;
    const finished = done - this.#before;
    const left = this.#total - done;
    if (finished <= 0 || left <= 0) return counter;
    const seconds = (this.#now() - this.#begun) / 1000;
    return `${counter}, about ${duration(seconds / finished * left)} left`;
  }
}
