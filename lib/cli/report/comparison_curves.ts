/** Validation losses of several runs in one picture, by step and by time. */

import { count, duration } from "../../report/numbers.ts";
import {
  axisMargin,
  countAxis,
  drawCurves,
  wideAndNarrow,
} from "../../report/charts.ts";
import {
  type DrawnRun,
  type Group,
  lineOf,
  type Unit,
} from "./comparison_groups.ts";
import {
  type Block,
  type Figure,
  type Section,
  verbatim,
} from "../../report/document.ts";
import { tokensPerStep } from "./run_record.ts";
import { thinned } from "../../report/series.ts";

/** A point of a validation curve. */
interface CurvePoint {
  readonly run: DrawnRun;
  readonly step: number;
  /** Seconds of training, without evaluations. */
  readonly seconds: number;
  readonly loss: number;
}

/** Returns the section: charts for each group of comparable runs. */
export function curveSection(groups: readonly Group[]): Section {
  return {
    id: "curves",
    title: "Validation loss",
    blocks: groups.flatMap((group): Block[] => [
      ...groups.length > 1
        ? [{ kind: "heading" as const, text: verbatim(group.name) }]
        : [],
      ...groupCurves(group),
    ]),
  };
}

function groupCurves({ runs, unit }: Group): Block[] {
  const points = runs.flatMap((run) =>
    curveOf(run, unit, Math.max(40, Math.round(1200 / runs.length)))
  );
  const drawn = new Set(points.map(({ run }) => run));
  const missing = runs.filter((run) => !drawn.has(run))
    .map(({ label }) => verbatim(label)).join(", ");
  const most = points.reduce((a, { seconds }) => Math.max(a, seconds), 0);
  const time = timeUnits.find(({ from }) => most >= from)!;
  const blocks: Block[] = missing === "" ? [] : [{
    kind: "note",
    text: `Without a validation loss in ${unit.name}: ${missing}.`,
  }];
  if (points.length === 0) return blocks;
  return [
    ...blocks,
    { kind: "heading", text: "By step" },
    {
      kind: "figure",
      lines: Array.from(drawn, (run) => lineOf(run)),
      draw: curves(points, {
        ...{ unit, name: "step", of: ({ step }) => step, whole: true },
      }),
    },
    { kind: "heading", text: "By time spent on steps, without evaluations" },
    {
      kind: "figure",
      draw: curves(points, {
        ...{ unit, name: time.name, whole: false },
        of: ({ seconds }) => seconds / time.seconds,
      }),
    },
  ];
}

/** Units of a time axis; each is used for axes that are at least `from` seconds long. */
const timeUnits = [
  { name: "hours", seconds: 3600, from: 2 * 3600 },
  { name: "minutes", seconds: 60, from: 2 * 60 },
  { name: "seconds", seconds: 1, from: 0 },
] as const;

function curveOf(one: DrawnRun, { of }: Unit, most: number): CurvePoint[] {
  const { steps, evals } = one.run;
  const tokens = tokensPerStep(one.run);
  let seconds = 0;
  const timeAt = new Map<number, number>();
  for (const { step, tokensPerSecond } of steps) {
    if (tokensPerSecond > 0) seconds += tokens / tokensPerSecond;
    timeAt.set(step, seconds);
  }
  const evaluated = evals.filter((event) => Number.isFinite(of(event)));
  return thinned(evaluated, Math.min(160, most)).map((event) => ({
    run: one,
    step: event.step,
    seconds: timeAt.get(event.step) ?? 0,
    loss: of(event),
  }));
}

/** The loss unit and the x axis of a chart of curves. */
interface CurveAxis {
  readonly unit: Unit;
  readonly name: string;
  readonly of: (point: CurvePoint) => number;
  /** True if the axis counts something, so its ticks are whole numbers. */
  readonly whole: boolean;
}

function curves(
  points: readonly CurvePoint[],
  { unit, name, of, whole }: CurveAxis,
): Figure["draw"] {
  const runs = [...Map.groupBy(points, ({ run }) => run)];
  const most = points.reduce((a, point) => Math.max(a, of(point)), 0) || 1;
  const losses = points.map(({ loss }) => loss);
  const [lowest, highest] = [Math.min(...losses), Math.max(...losses)];
  return (plotter) =>
    wideAndNarrow((size) => {
      const isNarrow = size.width < 500;
      return drawCurves(plotter, {
        ...size,
        ariaLabel:
          `Line chart of validation losses by ${name}, a line for each run; the table of results has the lowest and the last`,
        marginLeft: axisMargin(lowest, highest),
        x: {
          label: name,
          ...countAxis(most, { whole, ticks: isNarrow ? 4 : 8 }),
          // Room for the lines from the ends of curves to their labels.
          domain: [0, most * 1.03],
        },
        y: { label: unit.name, domain: [lowest, highest], nice: true },
        ends: runs.map(([{ number, short, pen: { color } }, points]) => {
          const end = points.at(-1)!;
          return {
            text: isNarrow ? `${number}` : `${number} ${short}`,
            ...{ y: end.loss, from: { x: of(end), color } },
          };
        }),
        curves: runs.map(([{ pen, number, label }, points]) => ({
          ...pen,
          points: points.map((point) => ({
            ...{ x: of(point), y: point.loss },
            title: `${number} ${label}, step ${count(point.step)}, ${
              duration(point.seconds)
            }: ${point.loss.toFixed(unit.digits)}`,
          })),
        })),
      });
    });
}
