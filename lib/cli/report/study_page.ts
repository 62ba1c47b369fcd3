/** The page about a study: what each change does to the loss, in a chart and a table, with a sample of each. */

import type { Outcome } from "../../lab/outcome.ts";
import { baselineOf, type Plan, trialsOf } from "../../lab/plan.ts";
import type { Estimate } from "../../lab/statistics.ts";
import {
  baselineText,
  type CellResult,
  cellResults,
  describeChanges,
  estimateText,
  incomparable,
  LESS,
  remark,
  SEES,
  tableNotes,
} from "../../lab/table.ts";
import { type Rung, rungValue } from "../../lab/works.ts";
import { isRough, roughness } from "../lab/provenance.ts";
import { count, duration, short } from "../../report/numbers.ts";
import { wideAndNarrow } from "../../report/charts.ts";
import { VERSION } from "../command/program.ts";
import { breakable, shortened, widthOf } from "../../report/labels.ts";
import {
  coded,
  type Content,
  type Markup,
  markup,
} from "../../report/markup.ts";
import { page, type Section, table } from "../../report/page.ts";
import type { Plotter } from "../../report/plotter.ts";
import { reachedSection } from "./reached_section.ts";
import { scalingResult } from "../../lab/scaling/scaling.ts";
import { scalingSection } from "./scaling_section.ts";

/** What a page is made of. */
export interface StudyRecord {
  readonly plan: Plan;
  readonly outcomes: readonly Outcome[];
  /** Empty where no text was measured. */
  readonly rungs: readonly Rung[];
}

/** The page as text. */
export async function studyPage(
  plotter: Plotter,
  { plan, outcomes, rungs }: StudyRecord,
): Promise<string> {
  const results = cellResults(plan, outcomes, "worst");
  const alone = incomparable(plan, results);
  const scaling = plan.experiment === "scaling"
    ? scalingResult(plan, outcomes)
    : undefined;
  const sections = [
    plan.experiment === "scaling"
      ? scalingSection(plotter, { plan, outcomes, scaling })
      : differenceSection(plotter, plan, results),
    tableSection(plan, results, {
      rungs,
      beside: scaling && [scaling.predicted, scaling.difference],
    }),
    reachedSection(plan, outcomes, rungs),
    ladderSection(rungs),
    sampleSection(results),
    planSection(plan, outcomes),
  ];
  const { length: planned } = trialsOf(plan);
  return await page({
    title: plan.study,
    header: markup`<h1>${plan.study}</h1>
<p class="summary">${plan.about}</p>${
      outcomes.length < planned && markup`
<p class="note">${outcomes.length} of ${planned} trials are done.</p>`
    }${
      isRough(plan) && markup`
<p class="note">Rough: ${roughness(plan)}.</p>`
    }${
      alone !== undefined && markup`
<p class="note">${coded(alone)}</p>`
    }`,
    sections: sections.filter((section) => section !== undefined),
    footer: `Drawn by lm ${VERSION}.`,
  });
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
  plotter: Plotter,
  plan: Plan,
  results: readonly CellResult[],
): Section | undefined {
  const shown = results.filter(({ leaks, difference }) =>
    !leaks && difference !== undefined
  );
  const bars = shown.map(({ cell, difference }): Bar => {
    const { mean, margin } = difference!;
    const reach = Number.isNaN(margin) ? 0 : margin;
    return {
      name: cell.name,
      mean,
      low: mean - reach,
      high: mean + reach,
      sure: Math.abs(mean) > margin,
    };
  });
  if (bars.length === 0) return undefined;
  const leaking = results.filter(({ leaks }) => leaks);
  return {
    id: "differences",
    title: "What each change does to the loss",
    about: markup`Validation loss less that of <code>${
      baselineOf(plan)
    }</code>, in nats per token: to the right is worse. Lines are 95 % confidence intervals over pairs of the same seed; pale, where they hold 0 or there is one seed.${
      leaking.length > 0 &&
      markup` Not drawn are models that see the future, whose losses mean nothing: ${
        leaking.map(({ cell }, i) =>
          markup`${i > 0 && ", "}<code>${cell.name}</code>`
        )
      }.`
    }`,
    content: differenceChart(plotter, bars),
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

function signed(value: number): string {
  return `${value >= 0 ? "+" : ""}${value.toFixed(4)}`;
}

function tableSection(
  plan: Plan,
  results: readonly CellResult[],
  { rungs, beside }: {
    readonly rungs: readonly Rung[];
    readonly beside: readonly Estimate[] | undefined;
  },
): Section {
  const isCompared = incomparable(plan, results) === undefined;
  const scored = rungs.filter(({ fiveGram, name }) =>
    fiveGram !== undefined || name === "honest"
  );
  return {
    id: "cells",
    title: "All cells",
    about: coded(
      [
        rungs.length > 0
          ? "Scores of the text are averages over seeds, bold where they reach their rung."
          : "Validation losses are of the whole validation split after the last step.",
        ...isCompared ? [baselineText(plan, results)] : [],
        ...tableNotes(results, beside),
      ].join(" "),
    ),
    content: table({
      caption: "Cells with their losses and scores",
      head: [
        "cell",
        "validation loss",
        ...isCompared ? [LESS] : [],
        "parameters",
        ...scored.map(({ name }) => name),
        "runs",
      ],
      rows: results.map((result): Content[] => [
        markup`<code>${breakable(result.cell.name)}</code>${
          result.leaks && markup` <b>${SEES}</b>`
        }`,
        estimateText(result.valLoss),
        ...isCompared ? [estimateText(result.difference, true)] : [],
        result.parameters === undefined ? "" : count(result.parameters),
        ...scored.map((rung) => score(rung, result)),
        remark(result),
      ]),
    }),
  };
}

function score(rung: Rung, { own, valLoss }: CellResult): Content {
  if (own === undefined || valLoss === undefined) return "";
  const { value, reached } = rungValue(rung, { valLoss: valLoss.mean, own });
  if (value === undefined) return "";
  return reached ? markup`<b>${short(value)}</b>` : short(value);
}

/** The rungs and what they ask for; nothing where no text was measured. */
export function ladderSection(rungs: readonly Rung[]): Section | undefined {
  if (rungs.length === 0) return undefined;
  return {
    id: "ladder",
    title: "The ladder",
    about:
      "What a model has to score to work. The text itself sets the thresholds: the worst of five parts of its held-out tenth.",
    content: table({
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
    }),
  };
}

function sampleSection(results: readonly CellResult[]): Section | undefined {
  const wrote = results.filter(({ sample }) => sample !== undefined);
  if (wrote.length === 0) return undefined;
  return {
    id: "samples",
    title: "What they write",
    about:
      "The beginning of what the first trial of each cell adds to the same prompt.",
    content: markup`<div class="samples">${
      wrote.map(({ cell, valLoss, leaks, sample = "" }) =>
        markup`<figure><figcaption><b>${cell.name}</b><span>${
          leaks ? SEES : valLoss?.mean.toFixed(3) ?? ""
        }</span></figcaption><pre>${sample.trim()}</pre></figure>`
      )
    }</div>`,
  };
}

function planSection(plan: Plan, outcomes: readonly Outcome[]): Section {
  const seconds = outcomes.reduce((sum, { seconds }) => sum + seconds, 0);
  const machines = new Set(
    outcomes.map(({ machine = "unknown" }) => machine),
  );
  return {
    id: "plan",
    title: "The plan",
    content: markup`<p>${plan.data} (${plan.tokenizer}), seeds ${
      plan.seeds.join(", ")
    }; ${outcomes.length} trials in ${duration(seconds)} of computing: ${
      [...machines].join("; ")
    }. Each line of
<code>trials.jsonl</code> is one of them.</p>
<p>The base: ${describeChanges(plan.base)}.</p>`,
  };
}
