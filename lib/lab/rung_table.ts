/** The ladder in a study's report: the demands of its rungs, and the runs that reached them. */

import type { Section } from "../report/document.ts";
import { short } from "../report/numbers.ts";
import { finished, type Outcome, sawFuture } from "./outcome.ts";
import { baselineOf, type Plan } from "./plan.ts";
import { type Columns, tableOf } from "./table.ts";
import { type Rung, rungValue } from "./works.ts";

/** A cell, and the number of its runs that reached each rung. */
interface Reached {
  readonly cell: string;
  readonly runs: number;
  readonly times: readonly number[];
}

/**
 * Returns the section on the rungs that a study's runs reached; undefined if no text was measured.
 * Its table has the rungs that some runs reached, the baseline, and the cells that differ from it
 * there; all cells if the baseline has no run. Runs that see the future are not counted, and a run
 * that diverged reached no rung.
 */
export function reachedSection(
  plan: Plan,
  all: readonly Outcome[],
  rungs: readonly Rung[],
): Section | undefined {
  if (rungs.length === 0 || all.length === 0) return undefined;
  const outcomes = all.filter((outcome) => !sawFuture(outcome));
  const times = (rung: Rung, runs: readonly Outcome[]) =>
    finished(runs).filter((run) => rungValue(rung, run)?.reached).length;
  const reachedBy = (condition: (count: number) => boolean) =>
    rungs.filter((rung) => condition(times(rung, outcomes)));
  const namesOf = (some: readonly Rung[]) =>
    some.map(({ name }) => name).join(", ");
  const { length: runs } = outcomes;
  const every = namesOf(reachedBy((count) => count > 0 && count === runs));
  const none = namesOf(reachedBy((count) => count === 0 && runs > 0));
  const some = reachedBy((count) => count > 0 && count < runs);
  const cells = [...Map.groupBy(outcomes, ({ cell }) => cell)]
    .map(([cell, runs]): Reached => ({
      cell,
      runs: runs.length,
      times: some.map((rung) => times(rung, runs)),
    }));
  const baseline = cells.find(({ cell }) => cell === baselineOf(plan));
  const shown = cells.filter(({ cell, runs, times }) =>
    baseline === undefined || cell === baseline.cell ||
    times.some((count, i) =>
      count * baseline.runs !== baseline.times[i]! * runs
    )
  );
  const others = baseline !== undefined && cells.length > 1
    ? ", and the cells that reach one of them in more runs or fewer than the baseline"
    : "";
  const alike = cells.length - shown.length;
  const future = new Set(
    all.filter(sawFuture).map(({ cell }) => `\`${cell}\``),
  );
  const other = future.size > 0 ? "other run" : "run";
  const columns: Columns<Reached> = {
    cell: ({ cell }) => `\`${cell}\``,
    ...Object.fromEntries(some.map(({ name }, i) => [
      name,
      ({ runs, times }: Reached) => {
        const count = times[i]!;
        return `${count === runs ? count : `**${count}**`} of ${runs}`;
      },
    ])),
  };
  return {
    id: "reached",
    title: "Which rungs they reach",
    about: [
      future.size > 0 &&
      `Runs that see the future are not counted: ${[...future].join(", ")}.`,
      every && `Every ${other} reaches ${every}.`,
      none && `No ${other} reaches ${none}.`,
      some.length > 0 &&
      `In the table are the other rungs${others}${
        alike > 0 ? `; cells left out: ${alike}` : ""
      }.`,
    ].filter(Boolean).join(" "),
    blocks: some.length === 0
      ? []
      : [tableOf("How many runs of a cell reached a rung", shown, columns)],
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
    blocks: [tableOf("Rungs with their thresholds", rungs, {
      rung: ({ name }) => name,
      "its number is": ({ relation, threshold }) =>
        `${relation} ${short(threshold)}`,
      "a model that reaches it": ({ claim }) => claim,
      "a 5-gram's text": ({ fiveGram }) =>
        fiveGram === undefined ? "" : short(fiveGram),
    })],
  };
}
