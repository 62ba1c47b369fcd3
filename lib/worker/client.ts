/** The page's end of a channel to a training session. */

import type {
  CallMessage,
  PlainError,
  SessionCalls,
  SessionEvent,
  SessionMessage,
  SessionPort,
} from "./messages.ts";

/** An error that a session answered with. */
export class SessionError extends Error {
  /** Name of the class of the error in the session. */
  override readonly name: string;
  /** A sentence that says what may help, if the error has one. */
  readonly hint: string | undefined;

  /** Makes the error. */
  constructor({ name, message, hint }: PlainError) {
    super(message);
    this.name = name;
    this.hint = hint;
  }
}

/**
 * Calls a session that {@linkcode serveSession} runs at the other end of a port, usually in a worker.
 */
export class SessionClient {
  readonly #port: SessionPort;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #calls = 0;

  /**
   * Takes over the messages of a port.
   *
   * @param port the worker, or one end of a `MessageChannel`
   * @param onEvent called with each event, in order
   */
  constructor(port: SessionPort, onEvent: (event: SessionEvent) => void) {
    this.#port = port;
    port.onmessage = ({ data }: MessageEvent<SessionMessage>) => {
      if ("event" in data) return onEvent(data.event);
      const { resolve, reject } = this.#waiting.get(data.call)!;
      this.#waiting.delete(data.call);
      if ("error" in data) reject(new SessionError(data.error));
      else resolve(data.result);
    };
  }

  /**
   * Makes a call and returns its answer.
   *
   * @param name one of {@linkcode SessionCalls}
   * @throws {SessionError} if the session refuses the call
   */
  call<Name extends keyof SessionCalls>(
    name: Name,
    ...[argument]: Parameters<SessionCalls[Name]>
  ): Promise<Awaited<ReturnType<SessionCalls[Name]>>> {
    const call = this.#calls++;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(call, waiting);
    const message: CallMessage = { call, name, argument };
    this.#port.postMessage(message);
    return waiting.promise as Promise<Awaited<ReturnType<SessionCalls[Name]>>>;
  }

  /** Rejects the calls that wait for an answer, e.g. because the worker failed or was terminated. */
  fail(reason: Error): void {
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }
}
