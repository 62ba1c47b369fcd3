/** Ctrl-C and its kin: the first asks to stop, the second stops. */

import { exitCode, InterruptedError } from "./errors.ts";
import { writeError } from "./terminal.ts";

/** What ends a program from outside; a closed terminal is no reason to lose a run. */
const signals: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

/** Listens for signals until it is disposed of. */
export class Interrupt implements Disposable {
  readonly #controller = new AbortController();
  readonly #listener: () => void;

  /** @param onFirst called at the first signal */
  constructor(onFirst: () => void = () => {}) {
    this.#listener = () => {
      if (this.signal.aborted) {
        writeError("\n");
        Deno.exit(exitCode.interrupted);
      }
      onFirst();
      this.stop();
    };
    for (const signal of signals) {
      Deno.addSignalListener(signal, this.#listener);
    }
  }

  /** Aborted at the first signal, with an {@linkcode InterruptedError}. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Does what a first signal does, but without a word. */
  stop(): void {
    this.#controller.abort(new InterruptedError("Interrupted"));
  }

  [Symbol.dispose](): void {
    for (const signal of signals) {
      Deno.removeSignalListener(signal, this.#listener);
    }
  }
}
