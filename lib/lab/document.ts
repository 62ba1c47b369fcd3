/** The report of a study: what each change does to the loss, in a chart and a table, with a sample of each. */

import { wideAndNarrow } from "../report/charts.ts";
import { type Document, present, type Section } from "../report/document.ts";
import { shortened, widthOf } from "../report/labels.ts";
import type { Markup } from "../report/markup.ts";
import type { Plotter } from "../report/plotter.ts";
import type { Outcome } from "./outcome.ts";
import { baselineOf, type Plan } from "./plan.ts";
import { provenance, trialNotes } from "./provenance.ts";
import { ladderSection, reachedSection } from "./rung_table.ts";
import { scalingResult } from "./scaling/scaling.ts";
import { scalingSection } from "./scaling/section.ts";
import {
  baselineText,
  type CellResult,
  cellResults,
  cellTable,
  describeChanges,
  incomparable,
  SEES,
  signed,
  tableNotes,
} from "./table.ts";
import type { Rung } from "./works.ts";

/** What the report is made of. */
export interface StudyRecord {
  readonly plan: Plan;
  readonly outcomes: readonly Outcome[];
  /** Empty where no text was measured. */
  readonly rungs: readonly Rung[];
}

/** The report. */
export function studyDocument(
  { plan, outcomes, rungs }: StudyRecord,
): Document {
  const order = plan.experiment === "ablate" ? "worst" : "best";
  const results = cellResults(plan, outcomes, order);
  const alone = incomparable(plan, results);
  const isScaling = plan.experiment === "scaling";
  const scaling = isScaling ? scalingResult(plan, outcomes) : undefined;
  const notes = present([...trialNotes(plan, outcomes), alone]);
  return {
    title: plan.study,
    lead: [plan.about],
    blocks: notes.map((text) => ({ kind: "note", text })),
    sections: present([
      isScaling
        ? scalingSection(plan, outcomes, scaling)
        : differenceSection(plan, results),
      {
        id: "cells",
        title: "All cells",
        about: [
          `Losses are nats per token of ${plan.data} (${plan.tokenizer}), on the whole validation split after the last step; ± is a 95 % confidence interval over seeds${
            alone === undefined
              ? `, of a difference over pairs of the same seed. ${
                baselineText(plan, results)
              }`
              : "."
          }`,
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
      sampleSection(results),
      {
        id: "plan",
        title: "The plan",
        about: `Seeds ${plan.seeds.join(", ")}. The base: ${
          describeChanges(plan.base)
        }.`,
        blocks: [],
      },
    ]),
    source: provenance(plan, outcomes),
  };
}

/** A cell in the chart. */
interface Bar {
  readonly name: string;
  readonly mean: number;
  readonly low: number;
  readonly high: number;
  readonly sure: boolean;
}

function differenceSection(
  plan: Plan,
  results: readonly CellResult[],
): Section | undefined {
  const bars = results.flatMap(({ cell, leaks, difference }): Bar[] => {
    if (leaks || difference === undefined) return [];
    const { mean, margin } = difference;
    const reach = Number.isNaN(margin) ? 0 : margin;
    return [{
      name: cell.name,
      mean,
      low: mean - reach,
      high: mean + reach,
      sure: Math.abs(mean) > margin,
    }];
  });
  if (bars.length === 0) return undefined;
  const leaking = results.filter(({ leaks }) => leaks);
  return {
    id: "differences",
    title: "What each change does to the loss",
    about: `Validation loss less that of \`${
      baselineOf(plan)
    }\`, in nats per token: to the right is worse. Lines are 95 % confidence intervals over pairs of the same seed; pale, where they hold 0 or there is one seed.${
      leaking.length > 0
        ? ` Not drawn are models that see the future, whose losses mean nothing: ${
          leaking.map(({ cell }) => `\`${cell.name}\``).join(", ")
        }.`
        : ""
    }`,
    blocks: [{
      kind: "figure",
      draw: (plotter) => differenceChart(plotter, bars),
    }],
  };
}

function differenceChart(plotter: Plotter, bars: readonly Bar[]): Markup {
  const { plot } = plotter;
  const names = bars.map(({ name }) => name);
  return wideAndNarrow(({ width }) => {
    const isNarrow = width < 500;
    const labels = shortened(names, isNarrow ? 24 : 40);
    const label = new Map(names.map((name, i) => [name, labels[i]!]));
    const longest = Math.max(...labels.map(widthOf));
    return plotter.draw({
      width,
      height: 60 + 17 * bars.length,
      marginLeft: Math.ceil(longest) + 20,
      marginRight: 20,
      marginTop: 30,
      ariaLabel:
        "Dot chart of differences in validation loss, a row for each change; the numbers are in the table below it",
      x: { label: null, grid: true, axis: "top", ticks: isNarrow ? 3 : 5 },
      y: {
        domain: names,
        label: null,
        tickSize: 0,
        tickFormat: (name: string) => label.get(name)!,
      },
      marks: [
        plot.ruleX([0], { stroke: "currentColor" }),
        plot.ruleY(bars, {
          ...{ y: "name", x1: "low", x2: "high" },
          stroke: ({ mean }: Bar) => color(mean),
          strokeWidth: 2,
          strokeOpacity: 0.6,
        }),
        plot.dot(bars, {
          ...{ y: "name", x: "mean", r: 4 },
          fill: ({ mean }: Bar) => color(mean),
          fillOpacity: ({ sure }: Bar) => sure ? 1 : 0.4,
          title: ({ name, mean, low, high }: Bar) =>
            `${name}: ${signed(mean)}, from ${signed(low)} to ${signed(high)}`,
        }),
      ],
      color: { type: "identity" },
    });
  });
}

function color(difference: number): string {
  return difference > 0 ? "var(--train)" : "var(--val)";
}

function sampleSection(results: readonly CellResult[]): Section | undefined {
  const wrote = results.filter(({ sample }) => sample !== undefined);
  if (wrote.length === 0) return undefined;
  return {
    id: "samples",
    title: "What they write",
    about:
      "The beginning of what the first trial of each cell adds to the same prompt.",
    blocks: [{
      kind: "samples",
      samples: wrote.map(({ cell, valLoss, leaks, sample = "" }) => ({
        title: cell.name,
        ...leaks
          ? { about: SEES }
          : valLoss && { about: valLoss.mean.toFixed(3) },
        text: sample,
      })),
    }],
  };
}
