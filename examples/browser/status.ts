/// <reference lib="dom" />

/** The line that says what goes on, and what went wrong. */

import { byId } from "./elements.ts";

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
    const { name, message, hint = "" } = error as Error & { hint?: string };
    if (name === "AbortError") return; // as the reader wished
    say(message.includes(hint) ? message : `${message}. ${hint}`, "error");
    recover();
  }
}
