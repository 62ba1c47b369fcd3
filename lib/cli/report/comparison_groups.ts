/** Groups of comparable runs: how each run is drawn, and its losses in the unit of its group. */

import { seesFuture } from "../../lab/plan.ts";
import { verbatim } from "../../report/document.ts";
import { shortened } from "../../report/labels.ts";
import { count } from "../../report/numbers.ts";
import { type Line, penOf } from "../../report/pens.ts";
import { corpusName, type RunRecord, tokensPerStep } from "./run_record.ts";

/** A run as one of those that are compared. */
export interface ComparedRun {
  readonly run: RunRecord;
  /** The run's place on the command line, from 1; it marks the run's curve. */
  readonly number: number;
  readonly label: string;
  /** Its label, short enough for a table or a chart. */
  readonly short: string;
  /** Its line in charts, with its number and its label. */
  readonly line: Required<Line>;
  /** True if the run's mask lets tokens see the tokens they are to predict. */
  readonly sees: boolean;
  /** Its evaluations that have a loss in the unit. */
  readonly losses: readonly Evaluated[];
  /** The one with the lowest loss. */
  readonly lowest: Evaluated | undefined;
}

/** A validation loss in the unit of a group. */
export interface Evaluated {
  readonly step: number;
  readonly loss: number;
  /** Seconds of training until then, without evaluations. */
  readonly seconds: number;
}

/** Comparable runs: all of them predict the same text. */
export interface Group {
  readonly name: string;
  readonly runs: readonly ComparedRun[];
  readonly unit: Unit;
  /**
   * The run with the lowest loss among those that do not see the future; undefined if fewer than
   * two can be compared.
   */
  readonly best: ComparedRun | undefined;
}

/** A unit of loss. */
export interface Unit {
  readonly name: string;
  readonly digits: number;
}

const perToken: Unit = { name: "nats per token", digits: 4 };

/** Tokens of different tokenizers are not the same events, characters are. */
export const perCharacter: Unit = { name: "bits per character", digits: 3 };

/** Most columns of a run's name in tables and beside its curve. */
const NAME = 32;

/**
 * Groups runs by their text and the part of its validation split that they measured. A run whose
 * text is unknown is compared with no other run.
 */
export function groupsOf(runs: readonly RunRecord[]): Group[] {
  const labels = runs.map(({ name, path }) =>
    runs.filter((run) => run.name === name).length > 1 ? path : name
  );
  const short = shortened(labels, NAME);
  const texts = Map.groupBy(
    runs,
    (run) =>
      `${run.data["sha256"] ?? `unknown ${run.path}`}${measuredPart(run)}`,
  );
  return Array.from(texts.values(), (alike): Group => {
    const tokens = new Set(
      alike.map(({ tokenizer }) => JSON.stringify(tokenizer)),
    );
    const unit = tokens.size > 1 ? perCharacter : perToken;
    const compared = alike.map((run): ComparedRun => {
      const i = runs.indexOf(run);
      const sees = seesFuture(run.model);
      const losses = lossesOf(run, unit);
      return {
        ...{ run, number: i + 1, label: labels[i]!, short: short[i]!, sees },
        line: {
          ...penOf(i, { hollow: sees }),
          name: nameOf({ number: i + 1, sees }, labels[i]!),
        },
        losses,
        lowest: losses.toSorted((a, b) => a.loss - b.loss)[0],
      };
    });
    const honest = compared.filter(({ sees, lowest }) => !sees && lowest);
    return {
      name: corpusName(alike[0]!) + measuredPart(alike[0]!),
      ...{ runs: compared, unit },
      best: honest.length < 2
        ? undefined
        : honest.reduce((best, one) =>
          one.lowest!.loss < best.lowest!.loss ? one : best
        ),
    };
  });
}

/** Returns a run's name with the number that marks its curve. */
export function nameOf(
  { number, sees }: Pick<ComparedRun, "number" | "sees">,
  label: string,
): string {
  return `${number} ${verbatim(label)}${sees ? " (sees the future)" : ""}`;
}

/** Names the number of validation tokens that a run measured if it was only a part of the split; otherwise empty. */
function measuredPart({ evals }: RunRecord): string {
  const { tokens, ofTokens } = evals.at(-1) ?? { tokens: 0, ofTokens: 0 };
  return tokens < ofTokens ? `, ${count(tokens)} validation tokens` : "";
}

function lossesOf(run: RunRecord, unit: Unit): Evaluated[] {
  const tokens = tokensPerStep(run);
  let seconds = 0;
  const timeAt = new Map<number, number>();
  for (const { step, tokensPerSecond } of run.steps) {
    if (tokensPerSecond > 0) seconds += tokens / tokensPerSecond;
    timeAt.set(step, seconds);
  }
  return run.evals.map(({ step, valLoss, bitsPerChar }) => ({
    step,
    loss: unit === perToken ? valLoss : bitsPerChar,
    seconds: timeAt.get(step) ?? 0,
  })).filter(({ loss }) => Number.isFinite(loss));
}
