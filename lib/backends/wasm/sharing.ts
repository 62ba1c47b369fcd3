/** The choice whether several threads share a run, or one thread computes it alone. Its results have the same bits either way. */

/** Multiplications and additions per step, on average, from which on sharing pays in any case: handing a step to sleeping threads takes as long. */
const SURELY = 60_000;

/** Below so many, the threads would wait for one another more than they compute. */
const NEVER = 5_000;

/** Runs until both ways are timed again, since other programs may have taken or left the processor's cores. */
const PERIOD = 256;

/** Runs at the beginning of a period: twice alone, twice shared, and so again. Threads that slept are awake in the second of two. */
const TRIALS = 8;

/** Decides about the runs of the same records, by their work and, where that leaves it open, by their times. */
export class Sharing {
  readonly #isSure: boolean | undefined;
  #runs = 0;
  /** The shortest times in this period, in milliseconds. */
  #alone = Infinity;
  #shared = Infinity;

  readonly #now: () => number;

  /**
   * @param options.work multiplications and additions of all steps
   * @param options.now returns the time in milliseconds
   */
  constructor({ work, steps, now = () => performance.now() }: {
    readonly work: number;
    readonly steps: number;
    readonly now?: () => number;
  }) {
    this.#now = now;
    this.#isSure = work >= SURELY * steps
      ? true
      : work < NEVER * steps
      ? false
      : undefined;
  }

  /** Calls `compute` with true if the threads share the run. */
  run(compute: (isShared: boolean) => void): void {
    if (this.#isSure !== undefined) return compute(this.#isSure);
    const turn = this.#runs++ % PERIOD;
    if (turn >= TRIALS) return compute(this.#shared < this.#alone);
    if (turn === 0) this.#alone = this.#shared = Infinity;
    const isShared = turn % 4 >= 2;
    const begun = this.#now();
    compute(isShared);
    if (turn % 2 === 0) return;
    const time = this.#now() - begun;
    if (isShared) this.#shared = Math.min(this.#shared, time);
    else this.#alone = Math.min(this.#alone, time);
  }
}
