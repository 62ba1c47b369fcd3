/** Which runs can be compared, by what, and how each is drawn. */

import type { EvalEvent } from "../../train/events.ts";
import { seesFuture } from "../../lab/plan.ts";
import { count } from "../../report/numbers.ts";
import { breakable, shortened } from "../../report/labels.ts";
import { type Markup, markup } from "../../report/markup.ts";
import { type Pen, penKey, penOf } from "../../report/pens.ts";
import { corpusName, type RunRecord } from "./run_record.ts";

/** A run and how it is drawn. */
export interface DrawnRun {
  readonly run: RunRecord;
  /** Its place on the command line, from 1: what its curve is marked with. */
  readonly number: number;
  readonly label: string;
  /** Its label, short enough for a table or a chart. */
  readonly short: string;
  readonly pen: Pen;
  /** Whether its mask lets tokens see what they are to predict. */
  readonly sees: boolean;
}

/** Runs that can be compared: they predict the same text. */
export interface Group {
  readonly name: string;
  readonly runs: readonly DrawnRun[];
  readonly unit: Unit;
}

/** What losses are compared in. */
export interface Unit {
  readonly name: string;
  readonly digits: number;
  /** NaN where an evaluation does not say. */
  readonly of: (event: EvalEvent) => number;
}

export const perToken: Unit = {
  name: "nats per token",
  digits: 4,
  of: ({ valLoss }) => valLoss,
};

/** Tokens of different tokenizers are not the same events, characters are. */
export const perCharacter: Unit = {
  name: "bits per character",
  digits: 3,
  of: ({ bitsPerChar = NaN }) => bitsPerChar ?? NaN,
};

/** Columns of a run's name in tables and beside its curve. */
const NAME = 32;

/** Runs in their order, each with a pen of its own. */
export function drawnRuns(runs: readonly RunRecord[]): DrawnRun[] {
  const labels = labelsOf(runs);
  const short = shortened(labels, NAME);
  return runs.map((run, i): DrawnRun => {
    const sees = seesFuture(run.model);
    return {
      run,
      number: i + 1,
      label: labels[i]!,
      short: short[i]!,
      pen: penOf(i, { hollow: sees }),
      sees,
    };
  });
}

/** The names of their directories, or the paths where names are the same. */
function labelsOf(runs: readonly RunRecord[]): string[] {
  return runs.map(({ name, path }) =>
    runs.filter((run) => run.name === name).length > 1 ? path : name
  );
}

/**
 * Groups runs by their text and the part of its validation split that they measured; what a run
 * of an unknown text predicts is nothing to compare with.
 */
export function groupsOf(drawn: readonly DrawnRun[]): Group[] {
  const texts = Map.groupBy(
    drawn,
    ({ run }) =>
      `${run.data["sha256"] ?? `unknown ${run.path}`}${measuredPart(run)}`,
  );
  return Array.from(texts.values(), (runs): Group => {
    const tokens = new Set(
      runs.map(({ run: { tokenizer } }) => JSON.stringify(tokenizer)),
    );
    return {
      name: corpusName(runs[0]!.run) + measuredPart(runs[0]!.run),
      runs,
      unit: tokens.size > 1 ? perCharacter : perToken,
    };
  });
}

/** How much of the validation split a run measured, if that was a part. */
function measuredPart({ evals }: RunRecord): string {
  const { tokens, ofTokens } = evals.at(-1) ?? { tokens: 0, ofTokens: 0 };
  return tokens < ofTokens ? `, ${count(tokens)} validation tokens` : "";
}

/** The evaluation with the lowest loss in a unit. */
export function lowestOf(
  { run }: DrawnRun,
  { of }: Unit,
): EvalEvent | undefined {
  return run.evals.filter((event) => Number.isFinite(of(event)))
    .toSorted((a, b) => of(a) - of(b))[0];
}

/** The run with the lowest loss among those that do not see the future; undefined if only one can be compared. */
export function bestOf({ runs, unit }: Group): DrawnRun | undefined {
  const compared = runs.filter((one) =>
    !one.sees && lowestOf(one, unit) !== undefined
  );
  const loss = (one: DrawnRun) => unit.of(lowestOf(one, unit)!);
  return compared.length < 2
    ? undefined
    : compared.toSorted((a, b) => loss(a) - loss(b))[0];
}

/** A run's pen, number and name. */
export function key(
  { pen, label, number, sees }: DrawnRun,
  name: string = label,
): Markup {
  return markup`<span class="run">${penKey(pen)}<span>${number} <bdi${
    name !== label && markup` title="${label}"`
  }>${breakable(name)}</bdi>${sees && " (sees the future)"}</span></span>`;
}
