/** Validation losses of several runs in one picture, by step and by time. */

import {
  axisMargin,
  countAxis,
  drawCurves,
  wideAndNarrow,
} from "../../report/charts.ts";
import { type Block, type Figure, verbatim } from "../../report/document.ts";
import { count, duration } from "../../report/numbers.ts";
import { thinned } from "../../report/series.ts";
import type { Evaluated, Group } from "./comparison_groups.ts";

/** Most points of a curve, and of all curves of a chart that has many. */
const [MOST_POINTS, MOST_OF_ALL] = [160, 1200];

/** Units of a time axis; each is used for axes that are at least `from` seconds long. */
const timeUnits = [
  { name: "hours", seconds: 3600, from: 2 * 3600 },
  { name: "minutes", seconds: 60, from: 2 * 60 },
  { name: "seconds", seconds: 1, from: 0 },
] as const;

/** Returns the charts of a group. */
export function curveBlocks(group: Group): Block[] {
  const { runs, unit } = group;
  const drawn = runs.filter(({ losses }) => losses.length > 0);
  const missing = runs.filter(({ losses }) => losses.length === 0)
    .map(({ label }) => verbatim(label)).join(", ");
  const blocks: Block[] = missing === "" ? [] : [{
    kind: "note",
    text: `Without a validation loss in ${unit.name}: ${missing}.`,
  }];
  if (drawn.length === 0) return blocks;
  const most = Math.max(...drawn.map(({ losses }) => losses.at(-1)!.seconds));
  const time = timeUnits.find(({ from }) => most >= from)!;
  return [
    ...blocks,
    { kind: "heading", text: "By step" },
    {
      kind: "figure",
      lines: drawn.map(({ line }) => line),
      draw: curves(group, "step", ({ step }) => step),
    },
    { kind: "heading", text: "By time spent on steps, without evaluations" },
    {
      kind: "figure",
      draw: curves(group, time.name, ({ seconds }) => seconds / time.seconds),
    },
  ];
}

/** Draws the losses of a group's runs over steps, or over another number. */
function curves(
  { runs, unit }: Group,
  name: string,
  of: (point: Evaluated) => number,
): Figure["draw"] {
  const share = Math.max(40, Math.round(MOST_OF_ALL / runs.length));
  const drawn = runs.filter(({ losses }) => losses.length > 0).map((run) => ({
    ...run,
    losses: thinned(run.losses, Math.min(MOST_POINTS, share)),
  }));
  const all = drawn.flatMap(({ losses }) => losses);
  const most = Math.max(...all.map(of)) || 1;
  const losses = all.map(({ loss }) => loss);
  const domain = [Math.min(...losses), Math.max(...losses)] as const;
  return (plotter) =>
    wideAndNarrow((size) => {
      const isNarrow = size.width < 500;
      return drawCurves(plotter, {
        ...size,
        ariaLabel:
          `Line chart of validation losses by ${name}, a line for each run; the table of results has the lowest and the last`,
        marginLeft: axisMargin(...domain),
        x: {
          label: name,
          ...countAxis(most, {
            ...{ whole: name === "step", ticks: isNarrow ? 4 : 8 },
          }),
          // Room for the lines from the ends of curves to their labels.
          domain: [0, most * 1.03],
        },
        y: { label: unit.name, domain, nice: true },
        ends: drawn.map(({ number, short, line: { color }, losses }) => {
          const end = losses.at(-1)!;
          return {
            text: isNarrow ? `${number}` : `${number} ${short}`,
            ...{ y: end.loss, from: { x: of(end), color } },
          };
        }),
        curves: drawn.map(({ line, number, label, losses }) => ({
          ...line,
          points: losses.map((point) => ({
            ...{ x: of(point), y: point.loss },
            title: `${number} ${label}, step ${count(point.step)}, ${
              duration(point.seconds)
            }: ${point.loss.toFixed(unit.digits)}`,
          })),
        })),
      });
    });
}
