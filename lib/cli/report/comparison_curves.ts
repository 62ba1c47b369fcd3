/** Validation losses of several runs in one picture, by step and by time. */

import { count, duration } from "../../report/numbers.ts";
import { axisMargin, countAxis, wideAndNarrow } from "../../report/charts.ts";
import {
  type DrawnRun,
  type Group,
  key,
  type Unit,
} from "./comparison_groups.ts";
import { dodged, widthOf } from "../../report/labels.ts";
import { type Markup, markup } from "../../report/markup.ts";
import type { PageSection } from "../../report/page.ts";
import { symbolOf } from "../../report/pens.ts";
import type { Plotter } from "../../report/plotter.ts";
import { tokensPerStep } from "./run_header.ts";
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
export function curveSection(
  plotter: Plotter,
  groups: readonly Group[],
): PageSection {
  return {
    id: "curves",
    title: "Validation loss",
    content: groups.map((group) =>
      markup`${groups.length > 1 && markup`<h3>${group.name}</h3>`}${
        groupCurves(plotter, group)
      }`
    ),
  };
}

function groupCurves(plotter: Plotter, { runs, unit }: Group): Markup {
  const points = runs.flatMap((run) =>
    curveOf(run, unit, Math.max(40, Math.round(1200 / runs.length)))
  );
  const drawn = new Set(points.map(({ run }) => run));
  const missing = runs.filter((run) => !drawn.has(run));
  const most = points.reduce((a, { seconds }) => Math.max(a, seconds), 0);
  const time = timeUnits.find(({ from }) => most >= from)!;
  return markup`${
    missing.length > 0 &&
    markup`<p class="note">Without a validation loss in ${unit.name}: ${
      missing.map(({ label }) => label).join(", ")
    }.</p>`
  }${
    points.length > 0 &&
    markup`
<div class="legend">${Array.from(drawn, (run) => key(run))}</div>
<h3>By step</h3>${
      curves(plotter, points, {
        ...{ unit, name: "step", of: ({ step }) => step, whole: true },
      })
    }
<h3>By time spent on steps, without evaluations</h3>${
      curves(plotter, points, {
        ...{ unit, name: time.name, whole: false },
        of: ({ seconds }) => seconds / time.seconds,
      })
    }`
  }`;
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

/** Most markers on a curve. */
const MARKERS = 8;

/** Pixels between the labels at the ends of curves. */
const LABEL_GAP = 13;

/** The loss unit and the x axis of a chart of curves. */
interface CurveAxis {
  readonly unit: Unit;
  readonly name: string;
  readonly of: (point: CurvePoint) => number;
  /** True if the axis counts something, so its ticks are whole numbers. */
  readonly whole: boolean;
}

function curves(
  plotter: Plotter,
  points: readonly CurvePoint[],
  { unit, name, of, whole }: CurveAxis,
): Markup {
  const { plot } = plotter;
  const runs = [...Map.groupBy(points, ({ run }) => run)];
  const most = points.reduce((a, point) => Math.max(a, of(point)), 0) || 1;
  // Room for the lines from the ends of curves to their labels.
  const edge = most * 1.03;
  const losses = points.map(({ loss }) => loss);
  const [lowest, highest] = [Math.min(...losses), Math.max(...losses)];
  return wideAndNarrow((size) => {
    const isNarrow = size.width < 500;
    const labels = runs.map(([run]) =>
      isNarrow ? `${run.number}` : `${run.number} ${run.short}`
    );
    const marginTop = 20;
    const marginBottom = 36;
    const height = Math.max(
      size.height,
      marginTop + marginBottom + LABEL_GAP * runs.length,
    );
    const frame = {
      ...{ width: size.width, height, marginTop, marginBottom },
      ...{
        marginLeft: axisMargin(lowest, highest),
        marginRight: 12 + Math.max(...labels.map(widthOf)),
      },
      x: {
        label: name,
        ...countAxis(most, { whole, ticks: isNarrow ? 4 : 8 }),
        domain: [0, edge],
      },
      y: {
        label: unit.name,
        domain: [lowest, highest],
        ...{ grid: true, nice: true },
      },
    };
    const y = plotter.scale(frame, "y");
    const ends = runs.map(([, points]) => points.at(-1)!);
    const at = dodged(
      ends.map(({ loss }) => y.apply(loss)),
      LABEL_GAP,
      [marginTop, height - marginBottom],
    ).map((pixel) => y.invert(pixel));
    const labelled = ends.map((end, i) => ({ ...end, at: at[i]! }));
    return plotter.draw({
      ...frame,
      ariaLabel:
        `Line chart of validation losses by ${name}, a line for each run; the table of results has the lowest and the last`,
      marks: [
        plot.link(labelled, {
          ...{ x1: of, x2: () => edge, y1: "loss", y2: "at" },
          stroke: ({ run }: CurvePoint) => run.pen.color,
          strokeOpacity: 0.5,
          strokeWidth: 0.8,
        }),
        plot.text(labelled, {
          ...{ x: () => edge, y: "at", dx: 4, textAnchor: "start" },
          text: (_: CurvePoint, i: number) => labels[i],
          fill: "var(--ink)",
        }),
        ...runs.flatMap(([run, points]) => {
          const { color, dash, hollow } = run.pen;
          const tip = {
            title: ({ step, loss, seconds }: CurvePoint) =>
              `${run.number} ${run.label}, step ${count(step)}, ${
                duration(seconds)
              }: ${loss.toFixed(unit.digits)}`,
          };
          return [
            plot.line(points, {
              ...{ x: of, y: "loss", stroke: color },
              strokeWidth: hollow ? 1.2 : 2,
              strokeDasharray: dash,
            }),
            plot.dot(thinned(points, MARKERS), {
              ...{ x: of, y: "loss", r: 4, symbol: symbolOf(run.pen) },
              ...hollow
                ? { stroke: color, fill: "var(--page)", strokeWidth: 1.5 }
                : { fill: color },
            }),
            plot.dot(points, {
              ...{ x: of, y: "loss", r: 5, fill: color, fillOpacity: 0 },
              ...tip,
            }),
          ];
        }),
      ],
      color: { type: "identity" },
    });
  });
}
