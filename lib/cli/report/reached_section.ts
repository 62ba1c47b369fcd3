/** Which rungs the runs of a study reached. */

import type { Outcome } from "../../lab/outcome.ts";
import type { Plan } from "../../lab/plan.ts";
import { reachedRungs, reachedText } from "../../lab/rung_table.ts";
import type { Rung } from "../../lab/works.ts";
import { breakable } from "../../report/labels.ts";
import { coded, markup } from "../../report/markup.ts";
import { type Section, table } from "../../report/page.ts";

/** The section; nothing where no text was measured. */
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
    about: coded(reachedText(found)),
    content: some.length > 0 && table({
      caption: "How many runs of a cell reached a rung",
      head: ["cell", ...some],
      rows: cells.map(({ cell, runs, reached }) => [
        markup`<code>${breakable(cell)}</code>`,
        ...reached.map((count) =>
          count === runs
            ? `${count} of ${runs}`
            : markup`<b>${count}</b> of ${runs}`
        ),
      ]),
    }),
  };
}
