/** What a check found, as plain data: who prints it is the program's business. */

/** How a check ended. A warning is about what may have reasons of its own, such as a busy machine. */
export type Status = "ok" | "warning" | "failed" | "skipped";

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

/** Runs a check; one that throws has failed, and those after it still get their turn. */
export async function verdict(
  check: string,
  action: () => Finding | Promise<Finding>,
): Promise<Verdict> {
  try {
    return { check, ...await action() };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const hint = "hint" in error && typeof error.hint === "string"
      ? { hint: error.hint }
      : {};
    return { check, status: "failed", found: error.message, ...hint };
  }
}
