/** Update-to-weight ratios, which show how far the weights moved: a small chart for each kind of matrix. */

import { SMALL, type SmallChart } from "./charts.ts";
import { count, short } from "../../report/numbers.ts";
import { countAxis, layerColor } from "../../report/charts.ts";
import { dashes, type LineStyle } from "../../report/pens.ts";
import type { Plotter } from "../../report/plotter.ts";
import type { RunRecord } from "./run_record.ts";
import { thinned } from "../../report/series.ts";

/** Returns 1, 2 and 5 times powers of ten between two values; the powers alone if all would be many. */
function logTicks([low, high]: readonly [number, number]): number[] {
  const [all, powers] = [[1, 2, 5], [1]].map((digits) =>
    [-7, -6, -5, -4, -3, -2, -1, 0]
      .flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`)))
      .filter((tick) => tick >= low && tick <= high)
  ) as [number[], number[]];
  return all.length > 6 ? powers : all;
}

/** The update-to-weight ratio of one matrix at one step. */
interface Ratio {
  readonly step: number;
  readonly ratio: number;
  /** The matrix's name without layer and "weight". */
  readonly kind: string;
  /** The layer, from 0; -1 for a matrix outside the layers. */
  readonly layer: number;
  readonly name: string;
}

/** Charts of update-to-weight ratios, with their legend. */
export interface UpdateCharts {
  /** The charts, one for each kind of matrix. */
  readonly charts: readonly SmallChart[];
  /** The lines of the legend. */
  readonly lines: readonly (LineStyle & { readonly name: string })[];
}

/** Draws update-to-weight ratios: a chart for each kind of matrix, with a line for each layer. */
export function updateCharts(
  plotter: Plotter,
  { updates }: RunRecord,
): UpdateCharts {
  const all = thinned(updates, 80).flatMap(({ step, ratios }) =>
    Object.entries(ratios).map(([name, ratio]): Ratio => {
      const [, layer, kind = name] = /^(?:h\.(\d+)\.)?(.*?)(?:\.weight)?$/.exec(
        name,
      ) ?? [];
      return { step, ratio, name, kind, layer: Number(layer ?? -1) };
    })
  ).filter(({ ratio }) => ratio > 0);
  if (all.length === 0) return { charts: [], lines: [] };
  const ratios = all.map(({ ratio }) => ratio);
  const domain = [
    Math.min(...ratios, 5e-4) * 0.8,
    Math.max(...ratios, 2e-3) * 1.25,
  ] as const;
  const layers = 1 + all.reduce((most, { layer }) => Math.max(most, layer), 0);
  const kinds = Map.groupBy(all, ({ kind }) => kind);
  const outside = all.filter(({ layer }) => layer < 0).map(({ kind }) => kind);
  return {
    lines: [
      ...Array.from({ length: layers }, (_, layer) => ({
        ...{ name: `layer ${layer + 1}`, ...layerLine(layer, layers) },
      })),
      ...[...new Set(outside)].map((name) => ({
        ...{ name, color: outsideColor(name), dash: "none" },
      })),
    ],
    charts: [...kinds].map(([title, points]) => ({
      title,
      picture: plotter.draw({
        ...SMALL,
        height: 170,
        ariaLabel:
          `Line chart of the update-to-weight ratio of ${title} by step, a line for each layer`,
        x: { label: "step", ...countAxis(all.at(-1)!.step, { ticks: 4 }) },
        y: {
          ...{ type: "log", label: null, grid: true, domain },
          ...{ ticks: logTicks(domain), tickFormat: short },
        },
        marks: [
          plotter.plot.ruleY([1e-3], {
            stroke: "currentColor",
            strokeDasharray: "2 4",
          }),
          ...Array.from(
            Map.groupBy(points, ({ layer }) => layer),
            ([layer, points]) => {
              const { color, dash } = layer < 0
                ? { color: outsideColor(title), dash: "none" }
                : layerLine(layer, layers);
              return [
                plotter.plot.line(points, {
                  ...{ x: "step", y: "ratio", stroke: color },
                  ...{ strokeWidth: 1.8, strokeDasharray: dash },
                }),
                plotter.plot.dot(points, {
                  ...{ x: "step", y: "ratio", fill: color },
                  // Many of them would hide the dashes.
                  ...points.length > 12 ? { r: 5, fillOpacity: 0 } : { r: 2.5 },
                  title: ({ name, step, ratio }: Ratio) =>
                    `${name}, step ${count(step)}: ${short(ratio)}`,
                }),
              ];
            },
          ),
        ],
      }),
    })),
  };
}

/** Returns a layer's colour and a dash that differs from its neighbours'. */
function layerLine(layer: number, layers: number): LineStyle {
  return {
    color: layerColor(layer, layers),
    dash: dashes[layer % dashes.length]!,
  };
}

/** Returns the colour of a matrix outside the layers, which no layer has. */
export function outsideColor(name: string): string {
  return { wte: "var(--run2)", lm_head: "var(--run3)" }[name] ?? "var(--ink)";
}
