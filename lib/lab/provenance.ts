/** Statements about a study's trials: how many ran, on which machines, and how reliable the results are. */

import { duration } from "../report/numbers.ts";
import type { Outcome } from "./outcome.ts";
import { type Plan, trialsOf } from "./plan.ts";

/** Number of seeds from which on a table is not called rough. */
const ROUGH = 3;

/** Returns notes on missing trials and on too few seeds, for the reader to see before the numbers. */
export function trialNotes(
  plan: Plan,
  outcomes: readonly Outcome[],
): string[] {
  const { length: planned } = trialsOf(plan);
  const { cells, seeds } = plan;
  // A cell may have its own seeds.
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

/** Describes the origin of a study's numbers. */
export function provenance(plan: Plan, outcomes: readonly Outcome[]): string {
  return provenanceOf(outcomes, {
    trials: `${outcomes.length} of ${trialsOf(plan).length} trials`,
    files: "`trials.jsonl`",
  });
}

/** Describes the origin of numbers: the trials, the machines that ran them, and the files that keep them. */
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
