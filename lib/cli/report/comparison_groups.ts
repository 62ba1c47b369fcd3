/** Groups of comparable runs, the units of their losses, and the pen of each run. */

import type { EvalEvent } from "../../train/events.ts";
import type { Logged } from "../run/events.ts";
import { seesFuture } from "../../lab/plan.ts";
import { count } from "../../report/numbers.ts";
import { verbatim } from "../../report/document.ts";
import { shortened } from "../../report/labels.ts";
import { type Line, type Pen, penOf } from "../../report/pens.ts";
import { corpusName, type RunRecord } from "./run_record.ts";

/** A run with its number, labels and pen. */
export interface DrawnRun {
  readonly run: RunRecord;
  /** The run's place on the command line, from 1; it marks the run's curve. */
  readonly number: number;
  readonly label: string;
  /** Its label, short enough for a table or a chart. */
  readonly short: string;
  readonly pen: Pen;
  /** True if the run's mask lets tokens see the tokens they are to predict. */
  readonly sees: boolean;
}

/** Comparable runs: all of them predict the same text. */
export interface Group {
  readonly name: string;
  readonly runs: readonly DrawnRun[];
  readonly unit: Unit;
}

/** A unit of loss. */
export interface Unit {
  readonly name: string;
  readonly digits: number;
  /** Returns the loss of an evaluation in this unit; NaN if the evaluation does not give it. */
  readonly of: (event: Logged<EvalEvent>) => number;
}

export const perToken: Unit = {
  name: "nats per token",
  digits: 4,
  of: ({ valLoss }) => valLoss,
};

/** Nats per character: tokens of different tokenizers are not the same events, characters are. */
export const perCharacter: Unit = {
  name: "bits per character",
  digits: 3,
  of: ({ bitsPerChar = NaN }) => bitsPerChar ?? NaN,
};

/** Most columns of a run's name in tables and beside its curve. */
const NAME = 32;

/** Returns the runs in their order, each with its own pen. */
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

/** Returns the names of the runs' directories, or the paths if names are the same. */
function labelsOf(runs: readonly RunRecord[]): string[] {
  return runs.map(({ name, path }) =>
    runs.filter((run) => run.name === name).length > 1 ? path : name
  );
}

/**
 * Groups runs by their text and the part of its validation split that they measured. A run whose
 * text is unknown is compared with no other run.
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

/** Names the number of validation tokens that a run measured if it was only a part of the split; otherwise empty. */
function measuredPart({ evals }: RunRecord): string {
  const { tokens, ofTokens } = evals.at(-1) ?? { tokens: 0, ofTokens: 0 };
  return tokens < ofTokens ? `, ${count(tokens)} validation tokens` : "";
}

/** Returns the evaluation with the lowest loss in a unit. */
export function lowestOf(
  { run }: DrawnRun,
  { of }: Unit,
): Logged<EvalEvent> | undefined {
  return run.evals.filter((event) => Number.isFinite(of(event)))
    .toSorted((a, b) => of(a) - of(b))[0];
}

/**
 * Returns the run with the lowest loss among those that do not see the future; undefined if only
 * one can be compared.
 */
export function bestOf({ runs, unit }: Group): DrawnRun | undefined {
  const compared = runs.filter((one) =>
    !one.sees && lowestOf(one, unit) !== undefined
  );
  const loss = (one: DrawnRun) => unit.of(lowestOf(one, unit)!);
  return compared.length < 2
    ? undefined
    : compared.toSorted((a, b) => loss(a) - loss(b))[0];
}

/** Returns how a run is drawn and named, with the number that stands at its curve. */
export function lineOf(
  { pen, label, number, sees }: DrawnRun,
  name: string = label,
): Line {
  const remark = sees ? " (sees the future)" : "";
  return { ...pen, name: `${number} ${verbatim(name)}${remark}` };
}
