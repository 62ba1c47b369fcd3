/** Statements about a study's trials: how many ran, on which machines, and how reliable the results are. */

import { present } from "../report/document.ts";
import { duration } from "../report/numbers.ts";
import type { Outcome } from "./outcome.ts";
import { type Plan, trialsOf } from "./plan.ts";

/** Returns notes on missing trials and on too few seeds, for the reader to see before the numbers. */
export function trialNotes(
  plan: Plan,
  { length: done }: readonly Outcome[],
): string[] {
  const { length: planned } = trialsOf(plan);
  // A cell may have its own seeds.
  const most = Math.max(
    ...plan.cells.map(({ seeds = plan.seeds }) => seeds.length),
  );
  const few = ["one seed", "two seeds"][most - 1];
  return present([
    done < planned ? `${done} of ${planned} trials are done.` : undefined,
    few &&
    `Rough: ${few} a cell cannot tell a small difference from chance.`,
  ]);
}

/**
 * Describes the origin of a report's numbers: the trials, the machines that ran them, and the files that keep them.
 *
 * @param of the number of planned trials, if the report is of one plan
 */
export function provenance(
  outcomes: readonly Outcome[],
  { of, files = "`trials.jsonl`" }: {
    readonly of?: number;
    readonly files?: string;
  },
): string {
  const seconds = outcomes.reduce((sum, outcome) => sum + outcome.seconds, 0);
  const machines = new Set(
    outcomes.map(({ machine = "unknown" }) => machine),
  );
  const mixed = machines.size > 1
    ? " **Not all trials ran on the same program and kind of device.**"
    : "";
  return `${outcomes.length}${of === undefined ? "" : ` of ${of}`} trials in ${
    duration(seconds)
  } of computing (${
    [...machines].join("; ") || "none yet"
  }); each line of ${files} is one of them.${mixed}`;
}
