/** The report of a search for the smallest model: size against loss and abilities, and who won. */

import { wideAndNarrow } from "../../report/charts.ts";
import { type Document, present, type Section } from "../../report/document.ts";
import { type Markup, markup } from "../../report/markup.ts";
import { count, digits, duration, short } from "../../report/numbers.ts";
import type { Plotter } from "../../report/plotter.ts";
import { sampleSection } from "../document.ts";
import { type Finished, finished, type Outcome } from "../outcome.ts";
import { provenance } from "../provenance.ts";
import { ladderSection } from "../rung_table.ts";
import { estimate } from "../statistics.ts";
import { describeChanges, estimateText, tableOf } from "../table.ts";
import type { Rung } from "../works.ts";
import { frontChart, tint } from "./front_chart.ts";
import {
  type Answer,
  type Known,
  paretoFront,
  type Search,
  searchNotes,
  type SearchOptions,
} from "./search.ts";

/** A search combined with the others it is reported with, and the results of all of them. */
export interface Found extends Search {
  readonly options: Pick<
    SearchOptions,
    "name" | "data" | "steps" | "least" | "most"
  >;
  /** The search alone, without the others. */
  readonly own: Search;
  /** Directories of the other searches, relative to the report's directory. */
  readonly others: readonly string[];
  readonly answers: readonly Answer[];
  /** Results of other programs. */
  readonly known: readonly Known[];
  readonly rungs: readonly Rung[];
}

/** Returns the report. */
export function minimalDocument(found: Found): Document {
  const { options, own: { cells, rounds }, others, rungs, answers } = found;
  const { name, data, steps, least, most } = options;
  return {
    title: `The smallest ${name}`,
    lead: [
      `The search for the smallest model that reaches a target on ${data}: ${
        count(rounds[0]!.length)
      } configurations of ${count(least)} to ${
        count(most)
      } parameters were trained briefly, and the best of each size for longer, in ${rounds.length} rounds, the last ${cells.length} for ${
        count(steps)
      } steps. The smallest that then reached a target was trained again with three new seeds and counts only if all of them reached it.${
        others.length === 0
          ? ""
          : ` Searches of other sizes are included: ${others.join(", ")}.`
      }`,
    ],
    blocks: [],
    sections: present([
      answerSection(found),
      frontSection(found),
      costSection(found),
      abilitySection(found),
      ladderSection(rungs),
      winnerSection(answers),
    ]),
    source: provenance(trialsIn(found), {
      files: "`round-*/trials.jsonl` and `confirmation/trials.jsonl`",
    }),
  };
}

/** Returns the outcomes of all rounds and of the confirmation. */
function trialsIn({ rounds, confirmed }: Found): readonly Outcome[] {
  return [...rounds, confirmed].flat();
}

function answerSection(found: Found): Section {
  const least = Math.min(
    ...trialsIn(found).map(({ parameters }) => parameters),
  );
  return {
    id: "answers",
    title: "The smallest model for each target",
    about: [
      "Losses are nats per token on the whole validation split, ± a 95 % confidence interval over the new seeds; computing is the time of the fastest seed, with all measurements.",
      `No model below ${
        count(least)
      } parameters was tried: a smaller one may reach the same targets.`,
      ...searchNotes(found),
    ].join(" "),
    blocks: [tableOf("The smallest model for each target", found.answers, {
      target: targetText,
      "validation loss": ofWinner((_, winner) =>
        estimateText(estimate(winner.map(({ valLoss }) => valLoss!)))
      ),
      parameters: ofWinner(parametersText),
      "training FLOPs": ofWinner(flopsText),
      computing: ofWinner((_, winner) =>
        duration(Math.min(...winner.map(({ seconds }) => seconds)))
      ),
      configuration: ({ winner: [first], found }) =>
        first !== undefined
          ? cellText(first)
          : found === undefined
          ? "none"
          : `none; ${cellText(found)} (${parametersText(found)}) did once`,
    })],
  };
}

/** Returns a column on the winner's outcomes, empty for a target without a winner. */
function ofWinner(
  text: (first: Outcome, winner: readonly Outcome[]) => string,
): (answer: Answer) => string {
  return ({ winner }) => {
    const [first] = winner;
    return first === undefined ? "" : text(first, winner);
  };
}

/** Describes a target: `loss ≤ 1.88`, `spells: its words are words (≥ 0.916)`. */
function targetText({ target }: Pick<Answer, "target">): string {
  if (typeof target === "number") return `loss ≤ ${target}`;
  const sign = { below: "<", "at least": "≥", "at most": "≤" }[target.relation];
  return `${target.name}: ${target.claim} (${sign} ${
    digits(target.threshold)
  })`;
}

function cellText({ cell }: Outcome): string {
  return `\`${cell}\``;
}

function parametersText({ parameters }: Outcome): string {
  return count(parameters);
}

function flopsText({ flops }: Outcome): string {
  return flops === undefined ? "" : flops.toExponential(1).replace("e+", "e");
}

function frontSection(found: Found): Section {
  const { cells, rounds } = found;
  return {
    id: "front",
    title: "Size against loss",
    about:
      "Each point of the chart is a model. The line joins the models of the last round that have a lower loss than every smaller one; the table lists them. Rings are models trained again with new seeds, diamonds are results of other programs.",
    blocks: [{
      kind: "figure",
      lines: rounds.map((outcomes, round) => ({
        name: `round ${round + 1}: ${count(outcomes[0]?.steps ?? 0)} steps`,
        color: tint(round),
      })),
      draw: (plotter) =>
        markup`${narrowLegend(found)}
${wideAndNarrow((size) => frontChart(plotter, found, size))}`,
    }, {
      ...tableOf(
        "Models with a lower loss than every smaller one",
        paretoFront(finished(rounds.at(-1)!)),
        {
          configuration: cellText,
          "validation loss": ({ valLoss }) => valLoss.toFixed(4),
          parameters: parametersText,
          "training FLOPs": flopsText,
          "what is changed": ({ cell }) =>
            describeChanges(cells.find(({ name }) => name === cell) ?? {}),
        },
      ),
      prose: true,
    }],
  };
}

/** Returns what others reached, which a narrow chart has no room to name. */
function narrowLegend({ known }: Found): Markup {
  return markup`<div class="narrow"><div class="legend">${
    known.map(({ name, parameters, loss }) =>
      markup`<span><svg class="pen" viewBox="0 0 30 12" aria-hidden="true" style="color:var(--run2)"><polygon points="15,0 20,6 15,12 10,6"/></svg>${name}: ${
        count(parameters)
      } parameters, ${loss}</span>`
    )
  }</div></div>`;
}

function costSection(found: Found): Section {
  return {
    id: "cost",
    title: "Training against loss",
    about:
      "The chart shows the same models by the floating point operations of their training; the line joins those that have a lower loss than every cheaper one. The table has, for each target, the cheapest training of all rounds that reached it, with one seed.",
    blocks: [
      { kind: "figure", draw: (plotter) => costChart(plotter, found) },
      tableOf(
        "The cheapest training for each target",
        found.answers.flatMap(({ target, cheapest }) =>
          cheapest === undefined ? [] : [{ target, ...cheapest }]
        ),
        {
          target: targetText,
          "validation loss": ({ valLoss }) => valLoss!.toFixed(4),
          parameters: parametersText,
          "training FLOPs": flopsText,
          steps: ({ steps }) => count(steps),
          configuration: cellText,
        },
      ),
    ],
  };
}

function costChart(plotter: Plotter, found: Found): Markup {
  const { plot } = plotter;
  const cost = ({ flops = NaN }: Outcome) => flops / 1e12;
  const points = finished(trialsIn(found))
    .filter(({ flops }) => flops !== undefined);
  return wideAndNarrow((size) =>
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
  );
}

/** The scores of a text, each with its own chart. */
const abilities = ["spells", "formats", "pairs", "triples"] as const;

function abilitySection(
  { rounds, confirmed, rungs }: Found,
): Section | undefined {
  const measured = finished([...rounds.at(-1) ?? [], ...confirmed])
    .filter(({ own }) => own !== undefined);
  if (measured.length === 0) return undefined;
  return {
    id: "abilities",
    title: "Size against abilities",
    about:
      "Scores of 20,000 characters that each model of the last round wrote, and of those with new seeds. The line is the rung's threshold, the dotted line the score of a 5-gram model.",
    blocks: [{
      kind: "figures",
      figures: abilities.map((name) => ({
        caption: name,
        draw: (plotter) =>
          abilityChart(plotter, {
            ...{ measured, name },
            rung: rungs.find((rung) => rung.name === name),
          }),
      })),
    }],
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

function winnerSection(answers: readonly Answer[]): Section | undefined {
  const winners = new Map(
    answers.flatMap(({ winner: [first] }) => first ?? [])
      .map((first) => [first.cell, first]),
  );
  return sampleSection(
    [...winners.values()].map(({ cell, parameters, sample = "" }) => ({
      title: cell,
      about: `${count(parameters)} parameters`,
      text: sample,
    })),
  );
}
