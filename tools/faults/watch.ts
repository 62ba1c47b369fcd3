/**
 * Watches this process from a thread of its own: measures the peak memory of a piece of work,
 * and ends the process if the work never ends, which code inside an endless loop cannot notice.
 */

/** The time and memory that a piece of work took. */
export interface Taken {
  readonly seconds: number;
  /** By which the process's resident memory rose, at its highest. */
  readonly megabytes: number;
}

/** Milliseconds between two looks. */
const LOOK_MS = 5;

/** Of the shared numbers: the highest resident memory in KiB since it was reset. */
const PEAK = 0;

/** Kills the process if a piece of work takes ten times its limit of time or memory. */
export class Watch implements Disposable {
  readonly #worker: Worker;
  readonly #shared = new Int32Array(new SharedArrayBuffer(4));
  #began = 0;
  #before = 0;
  #longest = 0;
  #highest = 0;

  /** @param most the limits of a piece of work; its caller reports an excess, and work far beyond them is ended */
  constructor(most: Taken) {
    const url = new URL("watch_worker.ts", import.meta.url);
    this.#worker = new Worker(url, { type: "module" });
    this.#worker.postMessage({
      shared: this.#shared,
      lookMs: LOOK_MS,
      mostMs: 10_000 * most.seconds,
      mostKilobytes: 10 * 1024 * most.megabytes,
    });
  }

  /** Starts measuring a piece of work. */
  begin(what: string): void {
    this.#worker.postMessage({ what });
    this.#began = performance.now();
    this.#before = residentKilobytes();
    Atomics.store(this.#shared, PEAK, this.#before);
  }

  /** Ends the piece of work and returns what it took. */
  end(): Taken {
    const seconds = (performance.now() - this.#began) / 1000;
    this.#worker.postMessage({ what: undefined });
    const peak = Math.max(
      residentKilobytes(),
      Atomics.load(this.#shared, PEAK),
    );
    const megabytes = Math.round((peak - this.#before) / 1024);
    this.#longest = Math.max(this.#longest, seconds);
    this.#highest = Math.max(this.#highest, megabytes);
    return { seconds, megabytes };
  }

  /** Returns the most that any piece of work took, in words. */
  get extremes(): string {
    return `at most ${
      this.#longest.toFixed(1)
    } s and ${this.#highest} MB more memory a case`;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** Returns the process's resident memory in KiB. */
export function residentKilobytes(): number {
  return Math.round(Deno.memoryUsage().rss / 1024);
}
