/** What a check found, as plain data: who prints it is the program's business. */

import { DeviceLostError } from "../backends/backend.ts";
import { TooLargeError } from "../text/too_large.ts";
import { isFailure, withoutHint } from "../refusal.ts";

/**
 * How a check ended. A warning is about what may have reasons of its own, such as a busy machine.
 * A broken check says nothing of what it was to check: the fault is its own.
 */
export type Status = "ok" | "warning" | "failed" | "skipped" | "broken";

/** What one check found. */
export interface Verdict {
  /** What was checked, in a word or two. */
  readonly check: string;
  readonly status: Status;
  /** The figures, or why it was skipped, in a line. */
  readonly found: string;
  /** What a failure most likely means, and what to do. */
  readonly hint?: string;
  /** The figures again, for programs. */
  readonly numbers?: Readonly<Record<string, number>>;
}

/** Some checks that ask one question. */
export interface CheckGroup {
  readonly name: string;
  /** What it means if they all are ok, in a sentence. */
  readonly meaning: string;
  /** Runs them, one after the other. */
  readonly run: () => AsyncIterable<Verdict>;
}

/** What a check gives beside its name. */
export type Finding = Omit<Verdict, "check">;

/** Whether an error comes from the engine, as a full `Map` or a call of undefined, and not from what is checked. */
function isBreakdown(error: Error): boolean {
  return (error instanceof TypeError || error instanceof ReferenceError ||
    error instanceof RangeError) && !isFailure(error);
}

/**
 * Runs a check. One that throws has failed, but is skipped if something is too large for it, and
 * broken if the engine complains; those after it still get their turn.
 *
 * @throws {DeviceLostError} if the device goes away: nothing can be said of it any more
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
        hint: "this says nothing about what was checked; please report it",
      };
    }
    return { check, status: "failed", found: withoutHint(error), ...hint };
  }
}
