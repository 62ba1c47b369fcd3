/** The report of a study: a chart and a table of the effect of each change on the loss, with a sample of each cell. */

import { dotChart, type RowDot } from "../report/charts.ts";
import {
  type Document,
  present,
  type Sample,
  type Section,
} from "../report/document.ts";
import { markdown } from "../report/markdown.ts";
import { signed } from "../report/numbers.ts";
import type { Outcome } from "./outcome.ts";
import { baselineOf, lossUnit, type Plan, trialsOf } from "./plan.ts";
import { provenance, trialNotes } from "./provenance.ts";
import { ladderSection, reachedSection } from "./rung_table.ts";
import { scalingResult, scalingSection } from "./scaling/scaling.ts";
import {
  baselineText,
  type CellResult,
  cellResults,
  cellTable,
  describeChanges,
  incomparable,
  SEES,
  tableNotes,
} from "./table.ts";
import type { Rung } from "./works.ts";

/** Contents of the report. */
export interface StudyRecord {
  /** The study's plan. */
  readonly plan: Plan;
  /** The outcomes so far. */
  readonly outcomes: readonly Outcome[];
  /** The rungs of the ladder; empty if no text was measured. */
  readonly rungs: readonly Rung[];
}

/** Returns the report. */
export function studyDocument(
  { plan, outcomes, rungs }: StudyRecord,
): Document {
  const order = plan.experiment === "ablate" ? "worst" : "best";
  const results = cellResults(plan, outcomes, order);
  const alone = incomparable(plan, results);
  const isScaling = plan.experiment === "scaling";
  const scaling = isScaling ? scalingResult(plan, outcomes) : undefined;
  const notes = present([...trialNotes(plan, outcomes), alone]);
  const interval = alone === undefined
    ? `, of a difference over pairs of the same seed. ${
      baselineText(plan, results)
    }`
    : ".";
  return {
    title: plan.study,
    lead: [plan.about],
    blocks: notes.map((text) => ({ kind: "note", text })),
    sections: present([
      isScaling ? scalingSection(scaling) : differenceSection(plan, results),
      {
        id: "cells",
        title: "All cells",
        about: [
          `Losses are ${
            unitText(plan)
          }, on the whole validation split after the last step; ± is a 95 % confidence interval over seeds${interval}`,
          ...rungs.length > 0
            ? [
              "Scores of the text are averages over seeds, bold where they reach their rung.",
            ]
            : [],
          ...tableNotes(
            results,
            scaling && [scaling.predicted, scaling.difference],
          ),
        ].join(" "),
        blocks: [cellTable(results, rungs)],
      },
      reachedSection(plan, outcomes, rungs),
      ladderSection(rungs),
      sampleSection(
        results.flatMap(({ cell, valLoss, leaks, sample: text }) => {
          if (text === undefined) return [];
          const about = leaks ? SEES : valLoss?.mean.toFixed(3);
          return [{ title: cell.name, ...about && { about }, text }];
        }),
        "The beginning of what the first trial of each cell adds to the same prompt.",
      ),
      {
        id: "plan",
        title: "The plan",
        about: `Seeds ${plan.seeds.join(", ")}. The base: ${
          describeChanges(plan.base)
        }.`,
        blocks: [],
      },
    ]),
    source: provenance(outcomes, { of: trialsOf(plan).length }),
  };
}

/** Returns the report as Markdown. */
export function studyReport(record: StudyRecord): string {
  return markdown(studyDocument(record));
}

/** Describes the unit of a plan's losses, and their text. */
function unitText(plan: Plan): string {
  const { data, tokenizer } = plan;
  const unit = lossUnit(plan);
  if (unit === "bits per character") return `${unit} of ${data}`;
  const text = `${unit} of ${data} (${tokenizer})`;
  return tokenizer === "ascii" || tokenizer === "chars"
    ? text
    : `${text}, with other tokenizers to be compared in bits per character`;
}

function differenceSection(
  plan: Plan,
  results: readonly CellResult[],
): Section | undefined {
  const dots = results.flatMap(({ cell, leaks, difference }): RowDot[] => {
    if (leaks || difference === undefined) return [];
    const { mean, margin } = difference;
    const reach = Number.isNaN(margin) ? 0 : margin;
    const [from, to] = [mean - reach, mean + reach];
    return [{
      ...{ row: cell.name, value: mean, from, to },
      color: mean > 0 ? "var(--train)" : "var(--val)",
      pale: !(Math.abs(mean) > margin),
      title: `${cell.name}: ${signed(mean)}, from ${signed(from)} to ${
        signed(to)
      }`,
    }];
  });
  if (dots.length === 0) return undefined;
  const leaking = results.filter(({ leaks }) => leaks)
    .map(({ cell }) => `\`${cell.name}\``);
  const notDrawn = leaking.length > 0
    ? ` Not drawn are models that see the future, whose losses mean nothing: ${
      leaking.join(", ")
    }.`
    : "";
  return {
    id: "differences",
    title: "What each change does to the loss",
    about: `Validation loss less that of \`${baselineOf(plan)}\`, in ${
      lossUnit(plan)
    }: to the right is worse. Lines are 95 % confidence intervals over pairs of the same seed; pale, where they hold 0 or there is one seed.${notDrawn}`,
    blocks: [{
      kind: "figure",
      draw: (plotter) =>
        dotChart(plotter, dots, {
          rows: dots.map(({ row }) => row),
          about:
            "Dot chart of differences in validation loss, a row for each change; the numbers are in the table below it",
        }),
    }],
  };
}

/** Returns the section of the texts that models wrote; undefined if there are none. */
export function sampleSection(
  samples: readonly Sample[],
  about?: string,
): Section | undefined {
  if (samples.length === 0) return undefined;
  return {
    id: "samples",
    title: "What they write",
    ...about && { about },
    blocks: [{ kind: "samples", samples }],
  };
}
