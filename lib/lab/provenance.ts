/** What a report says of its trials: how many there are, what ran them, and how far to trust them. */

import { duration } from "../report/numbers.ts";
import type { Outcome } from "./outcome.ts";
import { type Plan, trialsOf } from "./plan.ts";

/** Seeds from which on a table is not called rough. */
const ROUGH = 3;

/** What a reader has to know of a study's trials before its numbers. */
export function trialNotes(
  plan: Plan,
  outcomes: readonly Outcome[],
): string[] {
  const { length: planned } = trialsOf(plan);
  const { cells, seeds } = plan;
  // A cell may have seeds of its own.
  const most = Math.max(...cells.map((cell) => (cell.seeds ?? seeds).length));
  return [
    ...outcomes.length < planned
      ? [`${outcomes.length} of ${planned} trials are done.`]
      : [],
    ...most < ROUGH
      ? [
        `Rough: ${
          most === 1 ? "one seed" : "two seeds"
        } a cell cannot tell a small difference from chance.`,
      ]
      : [],
  ];
}

/** Where the numbers of a study come from. */
export function provenance(plan: Plan, outcomes: readonly Outcome[]): string {
  return provenanceOf(outcomes, {
    trials: `${outcomes.length} of ${trialsOf(plan).length} trials`,
    files: "`trials.jsonl`",
  });
}

/** Where numbers come from: so many trials, kept in these files. */
export function provenanceOf(
  outcomes: readonly Outcome[],
  { trials, files }: { readonly trials: string; readonly files: string },
): string {
  const seconds = outcomes.reduce((sum, outcome) => sum + outcome.seconds, 0);
  const machines = [
    ...new Set(outcomes.map(({ machine = "unknown" }) => machine)),
  ];
  const mixed = machines.length > 1
    ? " **Not all trials ran on the same program and kind of device.**"
    : "";
  return `${trials} in ${duration(seconds)} of computing (${
    machines.join("; ") || "none yet"
  }); each line of ${files} is one of them.${mixed}`;
}
