/**
 * Ctrl-C and other signals: the first asks to stop, the second ends the process.
 *
 * The thread that computes can be busy for as long as a training step takes, so a worker of its own
 * listens. At the first signal it writes a line, notifies the main thread, and stops listening; from then on the
 * system's default applies, and the next signal ends the process whatever it does.
 *
 * The worker also sets a number in shared memory. `throwIfAborted` of the signal looks there, so that work which
 * never waits, such as counting n-grams, ends when it asks.
 */

import { InterruptedError, signalCode } from "../command/errors.ts";
import { canRedraw } from "./terminal.ts";

/** Signals that end a program from outside; a closed terminal is no reason to lose a run. */
const signals: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

/**
 * The worker's program. It is started from a Blob, which needs no permission and works wherever the
 * package was loaded from.
 */
const program = `
let { signals, doing, before } = JSON.parse(self.name);
let number;
const listeners = signals.map((signal) => {
  const listener = () => {
    for (const [signal, listener] of listeners) {
      Deno.removeSignalListener(signal, listener);
    }
    const again = signal === "SIGINT" ? "Ctrl-C again" : "a second signal";
    const line = before + doing + "; " + again + " quits now\\n";
    try {
      Deno.stderr.writeSync(new TextEncoder().encode(line));
    } catch {
      // Standard error is closed: the message has no reader.
    }
    if (number) Atomics.store(number, 0, 1 + signals.indexOf(signal));
    postMessage(signal);
  };
  Deno.addSignalListener(signal, listener);
  return [signal, listener];
});
onmessage = ({ data }) => {
  if (typeof data === "string") doing = data;
  else number = data;
};
`;

/** Listens for signals until it is disposed of. */
export class Interrupt implements Disposable {
  readonly #controller = new AbortController();
  readonly #worker: Worker;
  readonly #onFirst: () => void;
  /** 1 and the index in {@linkcode signals} of the signal that came; 0 before. */
  readonly #number = new Int32Array(new SharedArrayBuffer(4));

  /** @param onFirst called after the first signal, once its line is written and the main thread is free */
  constructor(onFirst: () => void = () => {}) {
    const url = URL.createObjectURL(
      new Blob([program], { type: "text/javascript" }),
    );
    // The worker's name is set before its first line runs; a message would arrive later.
    const name = JSON.stringify({
      signals,
      doing: "stopping",
      before: canRedraw() ? "\n" : "",
    });
    this.#worker = new Worker(url, { type: "module", name });
    this.#worker.postMessage(this.#number);
    this.#worker.onmessage = ({ data }) => this.#came(data);
    this.#onFirst = onFirst;
    const { signal } = this.#controller;
    const { throwIfAborted } = signal;
    signal.throwIfAborted = () => {
      const came = signals[Atomics.load(this.#number, 0) - 1];
      if (came !== undefined) this.#came(came);
      throwIfAborted.call(signal);
    };
  }

  /** The signal that is aborted with an {@linkcode InterruptedError} at the first Ctrl-C or other signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The exit code for the signal received; that of Ctrl-C if none was. */
  get exitCode(): number {
    const { reason } = this.signal;
    return reason instanceof InterruptedError
      ? reason.code
      : signalCode["SIGINT"]!;
  }

  /** Sets the words for the line at the first signal that say what the program does next. */
  set doing(doing: string) {
    this.#worker.postMessage(doing);
  }

  /** Acts as at a first signal, but writes no line. */
  stop(): void {
    this.#abort("SIGINT");
  }

  #came(signal: string): void {
    if (this.signal.aborted) return;
    this.#onFirst();
    this.#abort(signal);
  }

  #abort(signal: string): void {
    const code = signalCode[signal]!;
    this.#controller.abort(new InterruptedError(code));
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
