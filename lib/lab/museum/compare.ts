/** Comparisons of trained models: their losses, the verdicts of the checks, and their texts. */

import { batchChecks } from "../../checks/batches.ts";
import { compareLoss } from "../../checks/recorded_loss.ts";
import {
  type CheckGroup,
  type Verdict,
  verdict,
} from "../../checks/verdict.ts";
import type { Dataset } from "../../text/dataset.ts";
import type { Model } from "../../model/model.ts";
import { meanOf } from "../statistics.ts";
import type { CheckRow, Curve, Figure, Finding } from "./exhibit.ts";
import { lastLosses, type Room, type Specimen } from "./room.ts";

/** A column of a finding: its name and the model in it. */
export type Column = readonly [name: string, specimen: Specimen];

/** The checks of models, and what the models write. */
export interface Judgement {
  readonly bells: readonly CheckRow[];
  readonly text: NonNullable<Finding["text"]>;
  /** Returns a number of a check for each model; null where the check has none. */
  readonly number: (check: string, name: string) => (number | null)[];
}

/** Checks models and makes them write. */
export async function judge(
  room: Room,
  models: readonly Model[],
): Promise<Judgement> {
  const verdicts: Map<string, Verdict>[] = [];
  const texts: string[] = [];
  for (const model of models) {
    verdicts.push(await room.verdicts(model));
    texts.push(await room.sample(model));
  }
  return {
    bells: [...verdicts[0]!.keys()].map((check) => ({
      check,
      verdicts: verdicts.map((all) => all.get(check)!),
    })),
    text: { prompt: room.tokenizer.decode(room.prompt), texts },
    number: (check, name) =>
      verdicts.map((all) => all.get(check)?.numbers?.[name] ?? null),
  };
}

/** Returns the figure of the validation losses that the trainers reported. */
export function reportedLoss(values: Figure["values"]): Figure {
  return { what: "validation loss, as reported", values, tells: "loss" };
}

/** Returns the figure of the scores of what models write. */
export function writtenScore(values: Figure["values"]): Figure {
  const what = "its text, scored by a 5-gram model";
  return { what, values, digits: 2, tells: "text" };
}

/** Returns the figure of the losses at the end of trainings. */
export function endLosses(specimens: readonly Specimen[]): Figure {
  const what = "training loss, mean of the last steps";
  return { what, values: specimens.map(lastLosses) };
}

/**
 * Returns a finding on trained models.
 *
 * @param more rows of the exhibit's own checks
 */
export async function compareTrained(
  room: Room,
  columns: readonly Column[],
  more: readonly CheckRow[] = [],
): Promise<Finding> {
  const specimens = columns.map(([, specimen]) => specimen);
  const { bells, text, number } = await judge(
    room,
    specimens.map(({ model }) => model),
  );
  return {
    setup: room.describe(specimens[0]!),
    columns: columns.map(([name]) => name),
    figures: [
      endLosses(specimens),
      reportedLoss(specimens.map(({ valLoss }) => valLoss)),
      {
        what: "validation loss, one token at a time",
        values: number("the future: two paths", "stepwise"),
      },
      {
        what: "its predictions, scored by a 5-gram model",
        values: number("its own text: free running", "predicted"),
        digits: 2,
      },
      writtenScore(number("its own text: free running", "own")),
    ],
    ...curveOf(specimens, {
      what: "loss of the batches, nats per token",
      value: ({ loss }) => loss,
    }),
    text,
    bells: [...more, ...bells],
  };
}

/** Points of a curve, at most. */
const POINTS = 100;

/** Returns a curve over the steps of trainings, short enough to draw; nothing if all have the same values. */
export function curveOf(
  specimens: readonly Specimen[],
  { what, value }: {
    readonly what: string;
    readonly value: (step: Specimen["steps"][number]) => number;
  },
): { readonly curve?: Curve } {
  const series = specimens.map(({ steps }) => steps.map(value));
  const [first = []] = series;
  if (series.every((each) => each.every((y, i) => Object.is(y, first[i])))) {
    return {};
  }
  const values = series.map((each) => groupMeans(each, POINTS));
  return { curve: { what, steps: first.length, values } };
}

/** Returns means over `count` equal groups, or fewer if there are fewer values, with four decimals. */
function groupMeans(values: readonly number[], count: number): number[] {
  const length = Math.ceil(values.length / count);
  return Array.from(
    { length: Math.ceil(values.length / length) },
    (_, i) =>
      Number(meanOf(values.slice(i * length, (i + 1) * length)).toFixed(4)),
  );
}

/**
 * Runs a group of checks for each column and returns a row for each check.
 *
 * @param most the number of checks of a group that are run
 */
export async function checkRows(
  groups: readonly CheckGroup[],
  most: number = Infinity,
): Promise<CheckRow[]> {
  const columns: Verdict[][] = [];
  for (const { run } of groups) {
    const verdicts: Verdict[] = [];
    columns.push(verdicts);
    for await (const verdict of run()) {
      if (verdicts.push(verdict) === most) break;
    }
  }
  return columns[0]!.map(({ check }, i) => ({
    check: `${groups[0]!.name}: ${check}`,
    verdicts: columns.map((verdicts) => verdicts[i]!),
  }));
}

/** Runs the checks of batches on the datasets of trained models. */
export function batchRows(
  room: Room,
  specimens: readonly Specimen[],
): Promise<CheckRow[]> {
  return checkRows(
    specimens.map(({ dataset }) => batchChecks(dataset, room.training)),
  );
}

/** Measures the losses that trainers reported again, on the validation split of a dataset. */
export async function recordedLossRow(
  { signal }: Room,
  dataset: Dataset,
  columns: readonly Pick<Specimen, "model" | "valLoss">[],
): Promise<CheckRow> {
  const verdicts: Verdict[] = [];
  for (const { model, valLoss } of columns) {
    const batches = dataset.evalBatches("val");
    verdicts.push(
      await verdict(
        "recorded loss",
        () => compareLoss(valLoss, { model, batches, signal }),
      ),
    );
  }
  return { check: "files: recorded loss", verdicts };
}
