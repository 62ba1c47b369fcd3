/** Reports the progress of a study or the museum, and the time left at the pace so far. */

import { duration } from "../../report/numbers.ts";

/** Counts finished items of a number of items that take about equally long. */
export class Pace {
  readonly #what: string;
  readonly #total: number;
  readonly #before: number;
  readonly #now: () => number;
  readonly #begun: number;

  /**
   * @param what the name of the items, as in `trials`
   * @param options.total the number of planned items
   * @param options.before the number of items done already; 0 if left out
   * @param options.now a clock, in milliseconds
   */
  constructor(
    what: string,
    { total, before = 0, now = () => performance.now() }: {
      readonly total: number;
      readonly before?: number;
      readonly now?: () => number;
    },
  ) {
    this.#what = what;
    this.#total = total;
    this.#before = before;
    this.#now = now;
    this.#begun = now();
  }

  /** Returns a counter, and the time left once something has been finished; parallel jobs make it shorter. */
  text(done: number): string {
    const counter = `${done} of ${this.#total} ${this.#what}`;
    const finished = done - this.#before;
    const left = this.#total - done;
    if (finished <= 0 || left <= 0) return counter;
    const seconds = (this.#now() - this.#begun) / 1000;
    return `${counter}, about ${duration(seconds / finished * left)} left`;
  }
}
