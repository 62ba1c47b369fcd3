/** The ladder in a study's report: the demands of its rungs, and the runs that reached them. */

import { type Outcome, sawFuture } from "./outcome.ts";
import { baselineOf, type Plan } from "./plan.ts";
import type { Section } from "../report/document.ts";
import { short } from "../report/numbers.ts";
import { type Rung, type RungName, rungValue } from "./works.ts";

/** The rungs that a study's runs reached; runs that see the future are not counted. */
export interface ReachedRungs {
  /** Rungs reached by every run. */
  readonly all: readonly RungName[];
  /** Rungs reached by none. */
  readonly none: readonly RungName[];
  /** The other rungs. */
  readonly some: readonly RungName[];
  /**
   * The baseline, and the cells that differ from it in how often `some` were reached; all cells if
   * the baseline has no run.
   */
  readonly cells: readonly {
    readonly cell: string;
    readonly runs: number;
    /** Number of the cell's runs that reached each of `some`. */
    readonly reached: readonly number[];
  }[];
  /** Number of cells that do not differ from the baseline. */
  readonly alike: number;
  /** True if the baseline is in the table, together with other cells. */
  readonly compared: boolean;
  /** Cells with runs that are not counted. */
  readonly future: readonly string[];
}

/** Counts the runs that reached each rung. A run that diverged reached none. */
export function reachedRungs(
  plan: Plan,
  all: readonly Outcome[],
  rungs: readonly Rung[],
): ReachedRungs {
  const outcomes = all.filter((outcome) => !sawFuture(outcome));
  const reaches = (outcome: Outcome, rung: Rung) =>
    outcome.valLoss !== null &&
    rungValue(rung, { ...outcome, valLoss: outcome.valLoss }).reached === true;
  const times = (rung: Rung, runs: readonly Outcome[]) =>
    runs.filter((outcome) => reaches(outcome, rung)).length;
  const named = (condition: (count: number) => boolean) =>
    rungs.filter((rung) => condition(times(rung, outcomes)));
  const some = named((count) => count > 0 && count < outcomes.length);
  const names = (of: readonly Rung[]) => of.map(({ name }) => name);
  const cells = [...Map.groupBy(outcomes, ({ cell }) => cell)]
    .map(([cell, runs]) => ({
      cell,
      runs: runs.length,
      reached: some.map((rung) => times(rung, runs)),
    }));
  const baseline = cells.find(({ cell }) => cell === baselineOf(plan));
  const shown = cells.filter(({ cell, runs, reached }) =>
    baseline === undefined || cell === baseline.cell ||
    reached.some((count, i) =>
      count * baseline.runs !== baseline.reached[i]! * runs
    )
  );
  return {
    all: names(named((count) => count > 0 && count === outcomes.length)),
    none: names(named((count) => count === 0 && outcomes.length > 0)),
    some: names(some),
    cells: shown,
    alike: cells.length - shown.length,
    compared: baseline !== undefined && cells.length > 1,
    future: [...new Set(all.filter(sawFuture).map(({ cell }) => cell))],
  };
}

/** Describes in a few sentences which rungs every run reached and which none did; names of cells are in backticks. */
export function reachedText(
  { all, none, some, alike, compared, future }: ReachedRungs,
): string {
  const others = compared
    ? ", and the cells that reach one of them in more runs or fewer than the baseline"
    : "";
  const other = future.length > 0 ? "other run" : "run";
  return [
    ...future.length > 0
      ? [
        `Runs that see the future are not counted: ${
          future.map((cell) => `\`${cell}\``).join(", ")
        }.`,
      ]
      : [],
    ...all.length > 0 ? [`Every ${other} reaches ${all.join(", ")}.`] : [],
    ...none.length > 0 ? [`No ${other} reaches ${none.join(", ")}.`] : [],
    ...some.length > 0
      ? [
        `In the table are the other rungs${others}${
          alike > 0 ? `; cells left out: ${alike}` : ""
        }.`,
      ]
      : [],
  ].join(" ");
}

/** Returns the section on the rungs that a study's runs reached; undefined if no text was measured. */
export function reachedSection(
  plan: Plan,
  outcomes: readonly Outcome[],
  rungs: readonly Rung[],
): Section | undefined {
  if (rungs.length === 0 || outcomes.length === 0) return undefined;
  const found = reachedRungs(plan, outcomes, rungs);
  const { some, cells } = found;
  return {
    id: "reached",
    title: "Which rungs they reach",
    about: reachedText(found),
    blocks: some.length === 0 ? [] : [{
      kind: "table",
      caption: "How many runs of a cell reached a rung",
      head: ["cell", ...some],
      rows: cells.map(({ cell, runs, reached }) => [
        `\`${cell}\``,
        ...reached.map((count) =>
          `${count === runs ? count : `**${count}**`} of ${runs}`
        ),
      ]),
    }],
  };
}

/** Returns the section on the rungs and their thresholds; undefined if no text was measured. */
export function ladderSection(rungs: readonly Rung[]): Section | undefined {
  if (rungs.length === 0) return undefined;
  return {
    id: "ladder",
    title: "The ladder",
    about:
      "What a model has to score to work. The text itself sets the thresholds: the worst of five parts of its held-out tenth.",
    blocks: [{
      kind: "table",
      caption: "Rungs with their thresholds",
      head: [
        "rung",
        "its number is",
        "a model that reaches it",
        "a 5-gram's text",
      ],
      rows: rungs.map(({ name, claim, relation, threshold, fiveGram }) => [
        name,
        `${relation} ${short(threshold)}`,
        claim,
        fiveGram === undefined ? "" : short(fiveGram),
      ]),
    }],
  };
}
