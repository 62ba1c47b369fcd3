/** What a search for the smallest model found, in Markdown. */

import {
  type Answer,
  type Known,
  type Search,
  searchNotes,
  type SearchOptions,
  type Target,
} from "../../lab/minimal/search.ts";
import type { Outcome } from "../../lab/outcome.ts";
import { finished, paretoFront } from "../../lab/minimal/pareto.ts";
import { estimate } from "../../lab/statistics.ts";
import { describeChanges, estimateText } from "../../lab/table.ts";
import { digits, duration } from "../../report/numbers.ts";

/** A search, what others it is reported with, and what all of them found. */
export interface Found extends Search {
  readonly options: SearchOptions;
  /** The search by itself. */
  readonly own: Search;
  /** Directories of other searches, as seen from that of the report. */
  readonly others: readonly string[];
  readonly answers: readonly Answer[];
  readonly known: readonly Known[];
}

/** What a search is called, and what it did. */
export function headOf(
  { options, own: { cells, rounds }, others }: Found,
): { title: string; about: string } {
  const { name, data, steps, least, most } = options;
  return {
    title: `The smallest ${name}`,
    about: `What the smallest model is that reaches a target on ${data}: ${
      count(rounds[0]!.length)
    } configurations of ${count(least)} to ${
      count(most)
    } parameters were trained briefly, the best of their size for longer, in ${rounds.length} rounds, the last ${cells.length} for ${
      count(steps)
    } steps. The smallest that then reached a target was trained again with three fresh seeds and counts only if all of them reached it.${
      others.length === 0
        ? ""
        : ` Counted in are searches of other sizes: ${others.join(", ")}.`
    }`,
  };
}

/** The report. */
export function minimalReport(found: Found): string {
  const { cells, rounds, confirmed, answers } = found;
  const { title, about } = headOf(found);
  const all = [...rounds, confirmed].flat();
  const seconds = all.reduce((sum, outcome) => sum + outcome.seconds, 0);
  const machines = [...new Set(all.map(({ machine }) => machine))];
  const least = Math.min(...all.map(({ parameters }) => parameters));
  const samples = answers.flatMap(({ winner: [first] }) => first ?? []);
  return [
    `# ${title}`,
    "",
    about,
    "",
    "| target | parameters | validation loss | training FLOPs | computing | configuration |",
    "| --- | ---: | ---: | ---: | ---: | --- |",
    ...answers.map(answerLine),
    "",
    "Losses are nats per token on the whole validation split, ± a 95 % confidence interval over the",
    "fresh seeds; computing is the time of the fastest of them, with all that is measured afterwards.",
    `What the smallest models reach that were tried (${
      count(least)
    } parameters), smaller ones may.`,
    "",
    ...searchNotes(found).flatMap((note) => [note, ""]),
    "## The cheapest to train",
    "",
    "Of all rounds, whatever its size, what reached a target with the fewest floating point operations; seen once:",
    "",
    "| target | training FLOPs | steps | parameters | validation loss | configuration |",
    "| --- | ---: | ---: | ---: | ---: | --- |",
    ...answers.flatMap(cheapestLine),
    "",
    "## The front",
    "",
    "Models of the last round to which no smaller one has a lower loss:",
    "",
    "| configuration | parameters | validation loss | training FLOPs | what is changed |",
    "| --- | ---: | ---: | ---: | --- |",
    ...paretoFront(finished(rounds.at(-1)!)).map((outcome) =>
      `| \`${outcome.cell}\` | ${count(outcome.parameters)} | ${
        outcome.valLoss.toFixed(4)
      } | ${flops(outcome)} | ${
        describeChanges(cells.find((cell) => cell.name === outcome.cell) ?? {})
      } |`
    ),
    "",
    "## Samples",
    "",
    ...[...new Map(samples.map((sample) => [sample.cell, sample])).values()]
      .flatMap(({ cell, parameters, sample = "" }) => [
        `\`${cell}\`, ${count(parameters)} parameters:`,
        "",
        ...sample.trim().split("\n").map((line) => `    ${line}`.trimEnd()),
        "",
      ]),
    `${all.length} trials in ${duration(seconds)} of computing (${
      machines.join("; ")
    }); each line of`,
    "`round-*/trials.jsonl` and `confirmation/trials.jsonl` is one of them.",
    "",
  ].join("\n");
}

function answerLine({ target, winner, found }: Answer): string {
  const [first] = winner;
  if (first === undefined) {
    const best = found === undefined
      ? "none"
      : `none; \`${found.cell}\` (${count(found.parameters)}) did once`;
    return `| ${targetText(target)} | ${best} | | | | |`;
  }
  const loss = estimate(winner.map(({ valLoss }) => valLoss!));
  const fastest = Math.min(...winner.map(({ seconds }) => seconds));
  return `| ${targetText(target)} | ${count(first.parameters)} | ${
    estimateText(loss)
  } | ${flops(first)} | ${duration(fastest)} | \`${first.cell}\` |`;
}

function cheapestLine({ target, cheapest }: Answer): string[] {
  if (cheapest === undefined) return [];
  return [
    `| ${targetText(target)} | ${flops(cheapest)} | ${
      count(cheapest.steps)
    } | ${count(cheapest.parameters)} | ${
      cheapest.valLoss!.toFixed(4)
    } | \`${cheapest.cell}\` |`,
  ];
}

/** `loss ≤ 1.88`, `spells ≥ 0.916`. */
export function targetText(target: Target): string {
  if (typeof target === "number") return `loss ≤ ${target}`;
  const sign = { below: "<", "at least": "≥", "at most": "≤" }[target.relation];
  const value = digits(target.threshold);
  return `${target.name}: ${target.claim} (${sign} ${value})`;
}

function count(value: number): string {
  return value.toLocaleString("en");
}

function flops({ flops }: Outcome): string {
  return flops === undefined ? "" : flops.toExponential(1).replace("e+", "e");
}
