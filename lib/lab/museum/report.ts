/** The museum's findings as Markdown: nothing in it that is not in an exhibit or a finding. */

import type { Verdict } from "../../checks/verdict.ts";
import {
  type Bell,
  type Exhibit,
  type Figure,
  type Finding,
  isLoud,
  rang,
} from "./exhibit.ts";

/** Characters in a line of a sample. */
const WIDTH = 76;

/** An exhibit and what came of it. */
export interface Shown {
  readonly exhibit: Exhibit;
  readonly finding: Finding;
}

/** How the exhibits were made. */
export interface Making {
  /** The text and the device, in a sentence or two. */
  readonly about: string;
  /** What makes the report again. */
  readonly command: string;
}

/** What both kinds of report say before the exhibits. */
export const words = {
  title: "The museum of mistakes",
  about:
    "Famous mistakes of training language models, each made on purpose and beside it the same without it: what the loss said, what the text said, and which check rang.",
  sides:
    "The loss is that of the validation split, as whoever made the mistake is told it; the text is scored by a 5-gram model of the training text. Lower is better for both.",
} as const;

/** All exhibits as Markdown, with a table of them before. */
export function museumReport(
  shown: readonly Shown[],
  { about, command }: Making,
): string {
  return [
    `# ${words.title}`,
    "",
    words.about,
    "",
    about,
    "",
    "```sh",
    command,
    "```",
    "",
    `In this table the first number is the right one's, the second the mistake's. ${words.sides}`,
    "",
    "| exhibit | the mistake | the loss | the text | what rang |",
    "| --- | --- | --- | --- | --- |",
    ...shown.map(({ exhibit: { name, title }, finding }) =>
      `| ${
        [
          `[${name}](#${name})`,
          title,
          pairOf(finding, "loss"),
          pairOf(finding, "text"),
          finding.bells.filter(rang).map(({ check }) => check).join("; "),
        ].map(cell).join(" | ")
      } |`
    ),
    "",
    ...shown.map(exhibitSection),
  ].join("\n");
}

/** What the right one and the mistake have to say to one of the page's questions. */
export function pairOf(finding: Finding, question: Figure["tells"]): string {
  const figure = figureOf(finding, question);
  if (figure === undefined) return "";
  return figure.values.slice(0, 2).map((value) => numberOf(value, figure))
    .join(", ");
}

/** The figure that answers one of the page's questions. */
export function figureOf(
  { figures }: Finding,
  question: Figure["tells"],
): Figure | undefined {
  return figures.find(({ tells }) => tells === question);
}

/** A figure's number as it is shown; nothing where there is none. */
export function numberOf(
  value: number | null | undefined,
  { digits = 3 }: Figure,
): string {
  return value === null || value === undefined
    ? ""
    : grouped(value.toFixed(digits));
}

/** One exhibit. */
export function exhibitSection({ exhibit, finding }: Shown): string {
  const { name, title, claim, see, deceives, catches, repair, source } =
    exhibit;
  const { setup, columns, figures, text, bells } = finding;
  return [
    `## ${name}`,
    "",
    `**${title}:** ${claim}.`,
    "",
    ...part("What you see", see),
    ...figureTable(columns, figures),
    "",
    `${setup}.`,
    "",
    ...(text === undefined ? [] : sampleLines(columns, text)),
    ...part("Why it deceives", deceives),
    ...part("What catches it", catches),
    ...bellTable(columns, bells),
    "",
    ...part("The repair", repair),
    ...(source === undefined ? [] : part("Known from", source)),
    "",
  ].join("\n");
}

function sampleLines(
  columns: readonly string[],
  { prompt, texts }: NonNullable<Finding["text"]>,
): string[] {
  return [
    `What each writes after ${JSON.stringify(prompt)}:`,
    "",
    ...texts.flatMap((text, i) => {
      const first = texts.indexOf(text);
      return first < i
        ? [`${columns[i]}: the same as ${columns[first]}.`, ""]
        : [`${columns[i]}:`, "", fenced(text), ""];
    }),
  ];
}

function part(title: string, text: string): string[] {
  return [`**${title}.** ${text}`, ""];
}

function figureTable(
  columns: readonly string[],
  figures: readonly Figure[],
): string[] {
  return [
    `| | ${columns.join(" | ")} |`,
    `| --- |${" ---: |".repeat(columns.length)}`,
    ...figures.map((figure) =>
      `| ${figure.what} | ${
        figure.values.map((value) => numberOf(value, figure)).join(" | ")
      } |`
    ),
  ];
}

/** The integer part of a number in groups of three. */
function grouped(digits: string): string {
  return digits.replace(/\B(?<!\.\d*)(?=(\d{3})+(?!\d))/g, ",");
}

/** What each check said that rang, and which did not. */
function bellTable(
  columns: readonly string[],
  bells: readonly Bell[],
): string[] {
  const silent = bells.filter((bell) => !rang(bell)).map(({ check }) => check);
  return [
    `| what rang | ${columns.join(" | ")} |`,
    `| --- |${" --- |".repeat(columns.length)}`,
    ...bells.filter(rang).map(({ check, verdicts }) =>
      `| ${check} | ${verdicts.map(told).join(" | ")} |`
    ),
    ...(silent.length === 0 ? [] : ["", `Silent: ${silent.join("; ")}.`]),
  ];
}

function told(verdict: Verdict): string {
  const { status, found } = verdict;
  return cell(isLoud(verdict) ? `**${status}**: ${found}` : found);
}

/** Text that stays in its cell of a table. */
function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll(/\s*\n\s*/g, " ");
}

/** A text whose many spaces and line ends are signs. */
export function visible(text: string): string {
  return text
    .replaceAll(/\n{3,}/g, (ends) => "\u23ce".repeat(ends.length))
    .replaceAll(/ {3,}/g, (spaces) => "\u2423".repeat(spaces.length));
}

/** A text, whatever backticks it has, with long lines broken. */
function fenced(text: string): string {
  const lines = visible(text)
    .replaceAll(RegExp(`[^\\n]{${WIDTH}}`, "gu"), "$&\n");
  const longest = Math.max(
    2,
    ...Array.from(lines.matchAll(/`+/g), ([run]) => run.length),
  );
  const fence = "`".repeat(longest + 1);
  return `${fence}text\n${lines.trim()}\n${fence}`;
}
