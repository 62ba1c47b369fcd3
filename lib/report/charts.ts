/** What charts have in common: their shapes, axes and shades. */

import { widthOf } from "./labels.ts";
import { type Markup, markup } from "./markup.ts";
import { count } from "./numbers.ts";
import type { ScaleOptions } from "./plotter.ts";

/** A chart in two shapes: the page shows the one that suits its width. */
export function wideAndNarrow(
  draw: (size: { width: number; height: number }) => Markup,
): Markup {
  return markup`<div class="wide">${draw({ width: 1040, height: 440 })}</div>
<div class="narrow">${draw({ width: 380, height: 380 })}</div>`;
}

/** An axis from 0 to a number, whose ticks are whole if it counts. */
export function countAxis(
  last: number,
  { ticks, whole = true }: { readonly ticks: number; readonly whole?: boolean },
): Pick<ScaleOptions, "domain" | "ticks" | "tickFormat"> {
  return {
    domain: [0, last],
    ...whole
      ? {
        ticks: last <= ticks
          ? Array.from({ length: Math.floor(last) + 1 }, (_, i) => i)
          : ticks,
        tickFormat: count,
      }
      : { ticks },
  };
}

/** Pixels that an axis of about seven ticks needs at its left for their labels. */
export function axisMargin(low: number, high: number): number {
  const step = (high - low) / 7 || 1;
  const digits = Math.min(20, Math.max(0, Math.ceil(-Math.log10(step))));
  const widest = high.toLocaleString("en", { minimumFractionDigits: digits });
  return Math.max(40, 14 + widthOf(widest));
}

/** A colour between those of the first and the last layer, counted from 0. */
export function layerColor(layer: number, layers: number): string {
  const share = Math.round(100 * layer / Math.max(1, layers - 1));
  return `color-mix(in oklab, var(--last) ${share}%, var(--first))`;
}
