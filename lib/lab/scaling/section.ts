/**
 * The section on scaling: losses against size and training, the law fitted to them, and its
 * prediction for the next size.
 */

import { wideAndNarrow } from "../../report/charts.ts";
import type { Section } from "../../report/document.ts";
import { type Markup, markup } from "../../report/markup.ts";
import { count } from "../../report/numbers.ts";
import { penKey, penOf, symbolOf } from "../../report/pens.ts";
import type { Plotter } from "../../report/plotter.ts";
import { type Finished, finished } from "../minimal/pareto.ts";
import type { Outcome } from "../outcome.ts";
import type { Plan } from "../plan.ts";
import { type PowerLaw, predictedLoss } from "./power_law.ts";
import {
  type ScalingResult,
  scalingText,
  UNFITTED,
  verdictText,
} from "./scaling.ts";

/** A point of a fitted curve. */
interface Fitted {
  readonly parameters: number;
  readonly tokens: number;
  readonly loss: number;
}

/** Returns the section; if no law is fitted, the section says so. */
export function scalingSection(
  plan: Plan,
  outcomes: readonly Outcome[],
  scaling: ScalingResult | undefined,
): Section {
  const section = { id: "scaling", title: "Loss against size" };
  if (scaling === undefined) {
    return { ...section, blocks: [{ kind: "note", text: UNFITTED }] };
  }
  const onPart = new Set(
    plan.cells.filter(({ dataShare }) => dataShare !== undefined)
      .map(({ name }) => name),
  );
  const points = finished(outcomes).filter(({ cell }) => !onPart.has(cell));
  return {
    ...section,
    about: scalingText(scaling),
    blocks: [
      { kind: "note", text: verdictText(scaling) },
      {
        kind: "figure",
        draw: (plotter) => scalingChart(plotter, { points, ...scaling }),
      },
    ],
  };
}

function scalingChart(
  plotter: Plotter,
  { points, law, next }: {
    readonly points: readonly Finished[];
    readonly law: PowerLaw;
    readonly next: string;
  },
): Markup {
  const { plot } = plotter;
  const amounts = [...new Set(points.map(({ tokens }) => tokens))]
    .toSorted((a, b) => a - b);
  const sizes = points.map(({ parameters }) => parameters);
  const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  const curve = amounts.flatMap((tokens) =>
    Array.from({ length: 40 }, (_, i): Fitted => {
      const parameters = least * (most / least) ** (i / 39);
      return {
        parameters,
        tokens,
        loss: predictedLoss(law, { parameters, tokens }),
      };
    })
  );
  const penOfAmount = ({ tokens }: { readonly tokens: number }) =>
    penOf(amounts.indexOf(tokens));
  const tint = (point: { readonly tokens: number }) => penOfAmount(point).color;
  return markup`<div class="legend">${
    amounts.map((tokens) =>
      markup`<span>${penKey(penOfAmount({ tokens }))}${
        count(tokens)
      } tokens</span>`
    )
  }<span>hollow: not part of the fit</span></div>
${
    wideAndNarrow((size) =>
      plotter.draw({
        ...size,
        marginLeft: 40,
        marginRight: 16,
        ariaLabel:
          "Chart of validation losses by parameters, a curve for each amount of training; the numbers are in the table below it",
        x: {
          type: "log",
          label: "parameters",
          ticks: size.width < 500 ? 3 : 6,
          tickFormat: (value: number) => `${Math.round(value / 1000)}k`,
        },
        y: { label: "nats per token", grid: true, nice: true },
        marks: [
          ...amounts.map((tokens) =>
            plot.line(curve.filter((point) => point.tokens === tokens), {
              ...{ x: "parameters", y: "loss", strokeWidth: 1.6 },
              stroke: tint({ tokens }),
              strokeDasharray: penOfAmount({ tokens }).dash,
            })
          ),
          plot.dot(points, {
            ...{ x: "parameters", y: "valLoss", r: 4, stroke: tint },
            symbol: (point: Finished) => symbolOf(penOfAmount(point)),
            fill: (point: Finished) =>
              point.cell === next ? "var(--page)" : tint(point),
            title: ({ id, valLoss }: Finished) =>
              `${id}: ${valLoss.toFixed(4)}`,
          }),
        ],
        color: { type: "identity" },
        symbol: { type: "identity" },
      })
    )
  }`;
}
