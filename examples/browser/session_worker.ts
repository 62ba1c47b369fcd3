/// <reference lib="dom" />

/** Starts workers from the script that is part of the page, so that the page is one file. */

import { SessionClient, type SessionEvent } from "@lm/core/worker";
import { byId } from "./elements.ts";

/** The error of calls to a session that the page itself has ended. */
export class SessionEnded extends Error {
  override readonly name = "AbortError";
}

/** A session in a worker of its own. */
export class SessionWorker extends SessionClient {
  readonly #worker: Worker;

  private constructor(
    worker: Worker,
    onEvent: (event: SessionEvent) => void,
  ) {
    super(worker, onEvent);
    this.#worker = worker;
    worker.onerror = (event) => {
      event.preventDefault();
      this.fail(new Error(`Cannot go on: the worker failed: ${event.message}`));
    };
  }

  /** Starts a worker. */
  static start(onEvent: (event: SessionEvent) => void): SessionWorker {
    const script = byId("worker", HTMLScriptElement).text;
    const blob = new Blob([script], { type: "text/javascript" });
    const url = URL.createObjectURL(blob);
    return new SessionWorker(new Worker(url), onEvent);
  }

  /** Ends the worker at once, and with it everything that it holds. */
  end(): void {
    this.#worker.onmessage = null; // no events of the past
    this.#worker.terminate();
    this.fail(new SessionEnded("Cannot go on: the session has ended"));
  }
}
