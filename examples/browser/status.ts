/// <reference lib="dom" />

/** The line that says what goes on, and what went wrong. */

import { byId } from "./elements.ts";
import { SessionEnded } from "./session_worker.ts";

const status = byId("status", HTMLElement);

/** Shows a message. */
export function say(message: string, className = ""): void {
  status.textContent = message;
  status.className = className;
}

/**
 * Does something and shows the error if it fails.
 *
 * @param recover called after a failure
 */
export async function attempt(
  action: () => Promise<void>,
  recover: () => void = () => {},
): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (error instanceof SessionEnded) return; // as the reader wished
    const { message, hint = "" } = error as Error & { hint?: string };
    say(message.includes(hint) ? message : `${message}. ${hint}`, "error");
    recover();
  }
}
