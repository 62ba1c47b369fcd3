/** Comparisons of trained models: their losses, the verdicts of the checks, and their texts. */

import { batchChecks } from "../../checks/batches.ts";
import type { CheckGroup, Verdict } from "../../checks/verdict.ts";
import type { Bell, Curve, Finding } from "./exhibit.ts";
import { lastLosses, type Room, type Specimen } from "./room.ts";

/** A column of a finding: its name and the model in it. */
export type Column = readonly [name: string, specimen: Specimen];

/**
 * Returns a finding on trained models.
 *
 * @param more bells of the exhibit's own checks
 */
export async function compareTrained(
  room: Room,
  columns: readonly Column[],
  more: readonly Bell[] = [],
): Promise<Finding> {
  const specimens = columns.map(([, specimen]) => specimen);
  const verdicts: Map<string, Verdict>[] = [];
  const texts: string[] = [];
  for (const { model } of specimens) {
    verdicts.push(await room.verdicts(model));
    texts.push(await room.sample(model));
  }
  const number = (check: string, figure: string) =>
    verdicts.map((all) => all.get(check)?.numbers?.[figure] ?? null);
  const bells = [...verdicts[0]!.keys()].map((check): Bell => ({
    check,
    verdicts: verdicts.map((all) => all.get(check)!),
  }));
  const curve = curveOf(specimens, {
    what: "loss of the batches, nats per token",
    value: ({ loss }) => loss,
  });
  return {
    setup: room.describe(specimens[0]!),
    columns: columns.map(([name]) => name),
    figures: [
      {
        what: "training loss, mean of the last steps",
        values: specimens.map(lastLosses),
      },
      {
        what: "validation loss, as told",
        values: specimens.map(({ valLoss }) => valLoss),
        tells: "loss",
      },
      {
        what: "validation loss, one token at a time",
        values: number("the future: two paths", "stepwise"),
      },
      {
        what: "what it predicts, under a 5-gram model",
        values: number("its own text: free running", "predicted"),
        digits: 2,
      },
      {
        what: "what it writes, under a 5-gram model",
        values: number("its own text: free running", "own"),
        digits: 2,
        tells: "text",
      },
    ],
    ...(curve && { curve }),
    text: { prompt: room.tokenizer.decode(room.prompt), texts },
    bells: [...more, ...bells],
  };
}

/** Points of a curve, at most. */
const POINTS = 100;

/** Returns a curve over the steps of trainings, short enough to draw; undefined if all have the same values. */
export function curveOf(
  specimens: readonly Specimen[],
  { what, value }: {
    readonly what: string;
    readonly value: (step: Specimen["steps"][number]) => number;
  },
): Curve | undefined {
  const series = specimens.map(({ steps }) => steps.map(value));
  const [first = []] = series;
  if (series.every((each) => each.every((y, i) => Object.is(y, first[i])))) {
    return undefined;
  }
  return {
    what,
    steps: first.length,
    values: series.map((each) => stretches(each, POINTS)),
  };
}

/** Returns means over `count` equal groups, or fewer if there are fewer values, with four decimals. */
function stretches(values: readonly number[], count: number): number[] {
  const length = Math.ceil(values.length / count);
  return Array.from({ length: Math.ceil(values.length / length) }, (_, i) => {
    const part = values.slice(i * length, (i + 1) * length);
    const mean = part.reduce((sum, value) => sum + value, 0) / part.length;
    return Number(mean.toFixed(4));
  });
}

/** Runs a group of checks for each column and returns a bell for each check. */
export async function bellsOf(groups: readonly CheckGroup[]): Promise<Bell[]> {
  const columns = await Promise.all(
    groups.map(({ run }) => Array.fromAsync(run())),
  );
  return columns[0]!.map(({ check }, i) => ({
    check: `${groups[0]!.name}: ${check}`,
    verdicts: columns.map((verdicts) => verdicts[i]!),
  }));
}

/** Runs the checks of batches on the datasets of trained models. */
export function batchBells(
  room: Room,
  specimens: readonly Specimen[],
): Promise<Bell[]> {
  return bellsOf(
    specimens.map(({ dataset }) => batchChecks(dataset, room.training)),
  );
}
