/** The page about a search for the smallest model: size against loss and abilities, and who won. */

import {
  type Answer,
  type Known,
  searchNotes,
} from "../../lab/minimal/search.ts";
import type { Outcome } from "../../lab/outcome.ts";
import {
  type Finished,
  finished,
  paretoFront,
} from "../../lab/minimal/pareto.ts";
import { estimate } from "../../lab/statistics.ts";
import { estimateText } from "../../lab/table.ts";
import type { Rung } from "../../lab/works.ts";
import { count, duration, short } from "../../report/numbers.ts";
import { wideAndNarrow } from "../../report/charts.ts";
import { VERSION } from "../command/program.ts";
import { frontChart, tint } from "./front_chart.ts";
import {
  coded,
  type Content,
  type Markup,
  markup,
} from "../../report/markup.ts";
import { page, type Section, table } from "../../report/page.ts";
import type { Plotter } from "../../report/plotter.ts";
import { ladderSection } from "./study_page.ts";

/** What the page is made of. */
export interface MinimalRecord {
  readonly title: string;
  readonly about: string;
  readonly answers: readonly Answer[];
  /** Each round's outcomes, the last one in full. */
  readonly rounds: readonly (readonly Outcome[])[];
  /** Those with fresh seeds. */
  readonly confirmed: readonly Outcome[];
  readonly rungs: readonly Rung[];
  /** What others reached. */
  readonly known: readonly Known[];
  /** How a target is written. */
  readonly targetText: (target: Answer["target"]) => string;
}

/** The page as text. */
export async function minimalPage(
  plotter: Plotter,
  record: MinimalRecord,
): Promise<string> {
  const { title, about, rungs, rounds, confirmed } = record;
  const all = [...rounds, confirmed].flat();
  const seconds = all.reduce((sum, { seconds }) => sum + seconds, 0);
  const machines = new Set(all.map(({ machine = "unknown" }) => machine));
  const sections = [
    answerSection(record),
    lossSection(plotter, record),
    costSection(plotter, record),
    abilitySection(plotter, record),
    ladderSection(rungs),
    sampleSection(record),
  ];
  return await page({
    title,
    header: markup`<h1>${title}</h1>
<p class="summary">${about}</p>`,
    sections: sections.filter((section) => section !== undefined),
    footer: `${all.length} trials in ${duration(seconds)} of computing: ${
      [...machines].join("; ")
    }. Each line of round-*/trials.jsonl and confirmation/trials.jsonl is one of them. Drawn by lm ${VERSION}.`,
  });
}

function answerSection(record: MinimalRecord): Section {
  const { answers, targetText } = record;
  return {
    id: "answers",
    title: "The smallest that …",
    about: coded(
      [
        "Each with three fresh seeds, all of which reached the target; ± is a 95 % confidence interval. Seconds are those of the fastest of the three, with all that is measured afterwards.",
        ...searchNotes(record),
      ].join(" "),
    ),
    content: table({
      caption: "The smallest model for each target",
      head: [
        "target",
        "validation loss",
        "parameters",
        "training FLOPs",
        "seconds",
        "configuration",
      ],
      rows: answers.map(({ target, winner, found }): Content[] => {
        const [first] = winner;
        if (first === undefined) {
          return [
            targetText(target),
            found === undefined ? "none" : `none; ${found.cell} did once`,
            "",
            "",
            "",
            "",
          ];
        }
        return [
          targetText(target),
          estimateText(estimate(winner.map(({ valLoss }) => valLoss!))),
          count(first.parameters),
          first.flops?.toExponential(1).replace("e+", "e") ?? "",
          Math.round(Math.min(...winner.map(({ seconds }) => seconds))),
          markup`<code>${first.cell}</code>`,
        ];
      }),
    }),
  };
}

function lossSection(plotter: Plotter, record: MinimalRecord): Section {
  return {
    id: "front",
    title: "Size against loss",
    about:
      "Each point is a model. The line joins those of the last round to which no smaller one has a lower loss; rings are models trained again with fresh seeds; diamonds are what others reached.",
    content: markup`${roundLegend(record)}
${wideAndNarrow((size) => frontChart(plotter, record, size))}`,
  };
}

function roundLegend({ rounds, known }: MinimalRecord): Markup {
  return markup`<div class="legend">${
    rounds.map((outcomes, round) =>
      markup`<span><i class="key" style="--c:${tint(round)}"></i>round ${
        round + 1
      }: ${count(outcomes[0]?.steps ?? 0)} steps</span>`
    )
  }</div>
<div class="narrow"><div class="legend">${
    known.map(({ name, parameters, loss }) =>
      markup`<span><svg class="pen" viewBox="0 0 30 12" aria-hidden="true" style="color:var(--run2)"><polygon points="15,0 20,6 15,12 10,6"/></svg>${name}: ${
        count(parameters)
      } parameters, ${loss}</span>`
    )
  }</div></div>`;
}

function costSection(
  plotter: Plotter,
  { rounds, confirmed }: MinimalRecord,
): Section {
  const { plot } = plotter;
  const cost = ({ flops = NaN }: Outcome) => flops / 1e12;
  const points = finished([...rounds, confirmed].flat())
    .filter(({ flops }) => flops !== undefined);
  return {
    id: "cost",
    title: "Training against loss",
    about:
      "The same models by the floating point operations of their training. The line joins those to which no cheaper one has a lower loss.",
    content: wideAndNarrow((size) =>
      plotter.draw({
        ...size,
        marginLeft: 40,
        marginRight: 16,
        ariaLabel:
          "Chart of validation losses by floating point operations of training",
        x: {
          type: "log",
          label: "training, 10¹² floating point operations",
          ticks: size.width < 500 ? 3 : 8,
          tickFormat: short,
        },
        y: { label: "nats per token", grid: true, nice: true },
        marks: [
          plot.line(paretoFront(points, cost), {
            ...{ x: cost, y: "valLoss", stroke: "var(--val)" },
            strokeWidth: 1.6,
          }),
          plot.dot(points, {
            ...{ x: cost, y: "valLoss", r: 3.2, fill: "var(--val)" },
            fillOpacity: 0.6,
            title: ({ id, parameters, valLoss, steps }: Finished) =>
              `${id}: ${count(parameters)} parameters, ${count(steps)} steps, ${
                valLoss.toFixed(4)
              }`,
          }),
        ],
      })
    ),
  };
}

/** What text is scored by, with a chart for each. */
const abilities = ["spells", "formats", "pairs", "triples"] as const;

function abilitySection(
  plotter: Plotter,
  { rounds, confirmed, rungs }: MinimalRecord,
): Section | undefined {
  const measured = finished([...rounds.at(-1) ?? [], ...confirmed])
    .filter(({ own }) => own !== undefined);
  if (measured.length === 0) return undefined;
  return {
    id: "abilities",
    title: "Size against abilities",
    about:
      "Scores of 20,000 characters that each model of the last round wrote, and of those with fresh seeds. The line is what the rung asks for, the dotted one what a 5-gram model scores.",
    content: markup`<div class="charts">${
      abilities.map((name) => {
        const rung = rungs.find((rung) => rung.name === name);
        return markup`<figure><figcaption>${name}</figcaption>${
          abilityChart(plotter, { measured, name, rung })
        }</figure>`;
      })
    }</div>`,
  };
}

function abilityChart(
  plotter: Plotter,
  { measured, name, rung }: {
    readonly measured: readonly Finished[];
    readonly name: (typeof abilities)[number];
    readonly rung: Rung | undefined;
  },
): Markup {
  const { plot } = plotter;
  const score = ({ own }: Finished) => own![name];
  return plotter.draw({
    width: 460,
    height: 220,
    marginLeft: 48,
    marginRight: 14,
    marginTop: 14,
    ariaLabel: `Chart of the score ${name} by parameters`,
    x: {
      type: "log",
      label: "parameters",
      ticks: 4,
      tickFormat: (value: number) => `${short(value / 1000)}k`,
    },
    y: { label: null, grid: true, zero: true, ticks: 5, tickFormat: short },
    marks: [
      plot.ruleY(rung === undefined ? [] : [rung.threshold], {
        stroke: "var(--train)",
      }),
      plot.ruleY(rung?.fiveGram === undefined ? [] : [rung.fiveGram], {
        stroke: "currentColor",
        strokeDasharray: "2 4",
      }),
      plot.dot(measured, {
        ...{ x: "parameters", y: score, r: 3.5, fill: "var(--val)" },
        title: (outcome: Finished) =>
          `${outcome.id}: ${count(outcome.parameters)} parameters, ${
            short(score(outcome))
          }`,
      }),
    ],
  });
}

function sampleSection({ answers }: MinimalRecord): Section | undefined {
  const winners = new Map(
    answers.flatMap(({ winner: [first] }) => first ?? [])
      .map((first) => [first.cell, first]),
  );
  if (winners.size === 0) return undefined;
  return {
    id: "samples",
    title: "What they write",
    content: markup`<div class="samples">${
      [...winners.values()].map(({ cell, parameters, sample = "" }) =>
        markup`<figure><figcaption><b>${
          count(parameters)
        } parameters</b><span>${cell}</span></figcaption><pre>${sample.trim()}</pre></figure>`
      )
    }</div>`,
  };
}
