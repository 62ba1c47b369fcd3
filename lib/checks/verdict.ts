/** Results of checks as plain data; the program prints them. */

import { DeviceLostError } from "../backends/backend.ts";
import { isRefusal, TooLargeError, withoutHint } from "../refusal.ts";

/**
 * Status of a check. A `warning` may have harmless reasons, such as a busy machine. `broken` means
 * that the check itself has a fault, so its subject was not checked.
 */
export type Status = "ok" | "warning" | "failed" | "skipped" | "broken";

/** Result of one check. */
export interface Verdict {
  /** Subject of the check, in a word or two. */
  readonly check: string;
  /** `ok`, or the kind of problem. */
  readonly status: Status;
  /** Figures, or the reason for skipping, in one line. */
  readonly found: string;
  /** Likely cause of a failure, and what to do. */
  readonly hint?: string | undefined;
  /** Figures for programs. */
  readonly numbers?: Readonly<Record<string, number>> | undefined;
}

/** Checks that answer one question. */
export interface CheckGroup {
  /** Subject of the group, in a word or two. */
  readonly name: string;
  /** Meaning of the group if all checks are ok, in one sentence. */
  readonly meaning: string;
  /** Runs the checks one after the other. */
  readonly run: () => AsyncIterable<Verdict>;
}

/** Result of a check without its name. */
export type Finding = Omit<Verdict, "check">;

/** Returns whether an error comes from the JavaScript engine (e.g. a full `Map`), not from the checked subject. */
function isBreakdown(error: Error): boolean {
  return (error instanceof TypeError || error instanceof ReferenceError ||
    error instanceof RangeError) && !isRefusal(error);
}

/**
 * Runs a check. If it throws, its status is `failed`; `skipped` if an input is too large for it; or
 * `broken` if the error comes from the JavaScript engine. Later checks still run.
 *
 * @param check subject of the check
 * @param action runs the check
 * @throws {DeviceLostError} if the device is lost, since no further check can run on it
 */
export async function verdict(
  check: string,
  action: () => Finding | Promise<Finding>,
): Promise<Verdict> {
  try {
    return { check, ...await action() };
  } catch (error) {
    if (!(error instanceof Error) || error instanceof DeviceLostError) {
      throw error;
    }
    const hint = "hint" in error && typeof error.hint === "string"
      ? { hint: error.hint }
      : {};
    if (error instanceof TooLargeError) {
      return { check, status: "skipped", found: error.message };
    }
    if (isBreakdown(error)) {
      return {
        check,
        status: "broken",
        found: `the check itself broke down: ${error.name}: ${error.message}`,
        hint: "its subject was not checked; please report this",
      };
    }
    return { check, status: "failed", found: withoutHint(error), ...hint };
  }
}
