/** What a report says of its trials: how many there are, what ran them, and how far to trust them. */

import type { Outcome } from "../../lab/outcome.ts";
import { type Plan, trialsOf } from "../../lab/plan.ts";
import { duration } from "../../report/numbers.ts";
import { files } from "./study.ts";

/** Seeds from which on a table is not called rough. */
const ROUGH = 3;

/** Whether a study has too few seeds for small differences. */
export function isRough(plan: Plan): boolean {
  return mostSeeds(plan) < ROUGH;
}

/** Why a rough study is one. */
export function roughness(plan: Plan): string {
  return `${
    mostSeeds(plan) === 1 ? "one seed" : "two seeds"
  } a cell cannot tell a small difference from chance`;
}

/** Seeds of the cell that has most: it may have its own. */
function mostSeeds({ cells, seeds }: Plan): number {
  return Math.max(...cells.map((cell) => (cell.seeds ?? seeds).length));
}

/** Where a report's numbers come from. */
export function provenance(plan: Plan, outcomes: readonly Outcome[]): string {
  const seconds = outcomes.reduce((sum, outcome) => sum + outcome.seconds, 0);
  const machines = [
    ...new Set(outcomes.map(({ machine = "unknown" }) => machine)),
  ];
  return [
    `${outcomes.length} of ${trialsOf(plan).length} trials in ${
      duration(seconds)
    } of computing (${machines.join("; ") || "none yet"}); each line of`,
    `${files.merged} is one of them.`,
    ...machines.length > 1
      ? ["**Not all trials ran on the same program and kind of device.**"]
      : [],
  ].join("\n");
}
