/** The report of the museum, built only from the exhibits and their findings. */

import type { Verdict } from "../../checks/verdict.ts";
import { dotChart, lineChart, type RowDot } from "../../report/charts.ts";
import type {
  Block,
  Document,
  Sample,
  Section,
  Text,
} from "../../report/document.ts";
import type { Markup } from "../../report/markup.ts";
import { signed } from "../../report/numbers.ts";
import type { Plotter } from "../../report/plotter.ts";
import {
  type Curve,
  type Exhibit,
  type Figure,
  type Finding,
  isAlarm,
  notices,
} from "./exhibit.ts";

/** An exhibit and its finding. */
export interface Shown {
  readonly exhibit: Exhibit;
  readonly finding: Finding;
}

/** The circumstances in which the exhibits were made. */
export interface Making {
  /** The text and the device, in a sentence or two. */
  readonly about: string;
  /** The command that repeats the report. */
  readonly command: string;
}

/** Returns the report. */
export function museumDocument(
  shown: readonly Shown[],
  { about, command }: Making,
): Document {
  return {
    title: "The museum of mistakes",
    lead: [
      "Famous mistakes in training language models, each made on purpose and compared with the same training without it: what the loss shows, what the text shows, and which checks notice the mistake.",
      about,
    ],
    blocks: [{ kind: "code", text: command, language: "sh" }],
    sections: [overview(shown), ...shown.map(exhibitSection)],
    source: "`findings.json` has the numbers.",
  };
}

/** The questions that the overview asks of each exhibit. */
const questions = [
  { tells: "loss", name: "the loss", color: "var(--val)" },
  { tells: "text", name: "the text", color: "var(--train)" },
] as const;

function overview(shown: readonly Shown[]): Section {
  return {
    id: "overview",
    title: "Loss and text of each exhibit",
    about:
      "The loss is the validation loss that the training reports; the text is scored by a 5-gram model of the training text. Lower is better for both.",
    blocks: [
      {
        kind: "figure",
        lines: questions,
        note:
          "nats, with the mistake minus without it: points to the left look better, points to the right worse",
        draw: (plotter) => differenceChart(plotter, shown),
      },
      {
        kind: "table",
        caption:
          "Exhibits with their loss, their text, and the checks that notice them",
        head: [
          "exhibit",
          ...questions.map(({ name }) => `${name}: right, mistake`),
          "the mistake",
          "noticed by",
        ],
        rows: shown.map(({ exhibit: { name, title }, finding }) => [
          `[${name}](#${name})`,
          ...questions.map(({ tells }) => pairOf(finding, tells)),
          title,
          finding.bells.filter(notices).map(({ check }) => check).join("; "),
        ]),
        prose: true,
      },
    ],
  };
}

function differenceChart(plotter: Plotter, shown: readonly Shown[]): Markup {
  const dots = shown.flatMap(({ exhibit, finding }) =>
    questions.flatMap(({ tells, name, color }): RowDot[] => {
      const [right, mistake] = figureOf(finding, tells)?.values ?? [];
      if (typeof right !== "number" || typeof mistake !== "number") return [];
      const value = mistake - right;
      const title = `${exhibit.name}: ${name} ${signed(value, 3)}`;
      return [{ row: exhibit.name, value, from: 0, to: value, color, title }];
    })
  );
  return dotChart(plotter, dots, {
    rows: shown.map(({ exhibit }) => exhibit.name),
    about:
      "Dot chart of how loss and text change by each mistake, a row for each; the numbers are in the table below it",
  });
}

/** Colours of an exhibit's columns, in their order. */
const columnColors = [
  "var(--val)",
  "var(--train)",
  "var(--run2)",
  "var(--run3)",
];

/** Returns the section of one exhibit. */
export function exhibitSection({ exhibit, finding }: Shown): Section {
  const { name, title, claim, see, deceives, catches, repair, source } =
    exhibit;
  const { setup, columns, figures, curve, text, bells } = finding;
  const silent = bells.filter((row) => !notices(row)).map(({ check }) => check);
  return {
    id: name,
    title,
    about: `\`lab museum ${name}\`: ${claim}.`,
    blocks: [
      part("What you see", see),
      {
        kind: "beside",
        blocks: [
          ...curve === undefined ? [] : [curveFigure(columns, curve)],
          {
            kind: "table",
            caption: "What was measured",
            head: ["", ...columns],
            rows: figures.map((figure) => [
              figure.what,
              ...columns.map((_, i) => numberOf(figure.values[i], figure)),
            ]),
          },
        ],
      },
      { kind: "text", text: `${setup}.` },
      ...text === undefined ? [] : samples(columns, text),
      part("Why it deceives", deceives),
      part("What catches it", catches),
      {
        kind: "table",
        caption: "Checks that notice the mistake",
        head: ["check", ...columns],
        rows: bells.filter(notices).map(({ check, verdicts }) => [
          check,
          ...columns.map((_, i) => verdictText(verdicts[i])),
        ]),
        prose: true,
      },
      ...silent.length === 0 ? [] : [
        {
          kind: "text",
          text: `Checks that do not notice it: ${silent.join("; ")}.`,
        } as const,
      ],
      part("The repair", repair),
      ...source === undefined ? [] : [part("Known from", source)],
    ],
  };
}

function part(title: string, text: Text): Block {
  return { kind: "text", text: `**${title}.** ${text}` };
}

function verdictText(verdict: Verdict | undefined): Text {
  if (verdict === undefined) return "";
  const { status, found } = verdict;
  return isAlarm(verdict) ? `**${status}**: ${found}` : found;
}

function samples(
  columns: readonly string[],
  { prompt, texts }: NonNullable<Finding["text"]>,
): Block[] {
  return [
    {
      kind: "heading",
      text: `What each writes after ${JSON.stringify(prompt)}`,
    },
    {
      kind: "samples",
      samples: texts.map((text, i): Sample => {
        const [title, first] = [columns[i]!, texts.indexOf(text)];
        return first < i
          ? { title, about: `the same as ${columns[first]}` }
          : { title, text: visible(text) };
      }),
    },
  ];
}

function curveFigure(
  columns: readonly string[],
  { what, steps, values }: Curve,
): Block {
  const points = values.flatMap((column, of) =>
    column.map((y, i) => ({
      name: columns[of]!,
      x: Math.round((i + 0.5) * steps / column.length),
      y,
    }))
  );
  return {
    kind: "figure",
    caption: what,
    draw: (plotter) =>
      lineChart(plotter, points, {
        lines: columns.map((name, i) => ({ name, color: columnColors[i]! })),
        about: `Line chart of the ${what}, by step, a line for each column`,
        x: { label: "step", domain: [0, steps], ticks: 5 },
        y: null,
        size: { width: 480, height: 260 },
      }),
  };
}

/** Returns the numbers of `right` and `mistake` that answer one of the page's questions. */
function pairOf(finding: Finding, question: Figure["tells"]): string {
  const figure = figureOf(finding, question);
  if (figure === undefined) return "";
  return figure.values.slice(0, 2).map((value) => numberOf(value, figure))
    .join(", ");
}

/** Returns the figure that answers one of the page's questions. */
function figureOf(
  { figures }: Finding,
  question: Figure["tells"],
): Figure | undefined {
  return figures.find(({ tells }) => tells === question);
}

/** Formats a figure's number; empty if there is none. */
function numberOf(
  value: number | null | undefined,
  { digits = 3 }: Figure,
): string {
  return value === null || value === undefined
    ? ""
    : value.toLocaleString("en", {
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    });
}

/** Replaces runs of three or more spaces or line ends with visible signs. */
function visible(text: string): string {
  return text
    .replaceAll(/\n{3,}/g, (ends) => "\u23ce".repeat(ends.length))
    .replaceAll(/ {3,}/g, (spaces) => "\u2423".repeat(spaces.length));
}
