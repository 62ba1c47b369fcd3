/** Plots the losses of a run so far as lines of text. `terminal.ts` draws them. */

import type { LoggedEvent } from "../run/events.ts";
import { braillePlot, bucketed, type Curve } from "./braille_plot.ts";

/** Room that the picture needs, in columns and lines of the terminal. */
const LEAST = { columns: 36, rows: 18 } as const;
/** The largest width of the plot in columns, and its height in lines. */
const MOST = { columns: 110, lines: 8 } as const;

/** Columns that the whole legend needs. */
const LEGEND = 50;

/** Points of a curve that are kept; even. */
const MOST_POINTS = 1024;

/** Gathers losses and draws them. */
export class LossPlot {
  readonly #training = new Thinned();
  readonly #validation: [step: number, loss: number][] = [];

  /** Adds the loss of an event, if it has one. */
  take({ event, step, loss, valLoss }: Partial<LoggedEvent>): void {
    const value = Number(event === "eval" ? valLoss ?? NaN : loss ?? NaN);
    if (!Number.isFinite(value) || step === undefined) return;
    if (event === "step") this.#training.add(step, value);
    if (event === "eval") this.#validation.push([step, value]);
  }

  /** Returns the lines of the plot; none if there is no room or no curve yet. */
  lines(
    { columns, rows, ascii = false }: {
      readonly columns: number;
      readonly rows: number;
      /** True if only ASCII may be used. */
      readonly ascii?: boolean;
    },
    paint?: (text: string, curve: number) => string,
  ): string[] {
    if (columns < LEAST.columns || rows < LEAST.rows) return [];
    const width = Math.min(columns, MOST.columns);
    const training = bucketed(this.#training.points, width);
    const [from, to] = [training[0]?.[0], training.at(-1)?.[0]];
    if (from === undefined || to === undefined || training.length < 8) {
      return [];
    }
    const plot = braillePlot([training, this.#validation], {
      ...{ width, height: MOST.lines, x: [from, to] },
      y: usualRange([training, this.#validation]),
      ...{ ascii, marks: [undefined, ascii ? "o" : "●"] },
      ...(paint && { paint }),
    });
    const loss = width < LEGEND ? "" : " loss";
    const names = [
      `${ascii ? "." : "⠒"} training${loss}`,
      `${ascii ? "o" : "●"} validation${loss}`,
    ].map((name, curve) => paint ? paint(name, curve) : name);
    const shown = this.#validation.length > 0 ? names : names.slice(0, 1);
    const unit = width < LEGEND ? "" : "  by step";
    return [...plot, `${" ".repeat(6)}${shown.join("  ")}${unit}`];
  }
}

/** A curve with a limited number of points: when it is full, each pair of points is replaced by its mean. */
class Thinned {
  readonly points: [step: number, loss: number][] = [];
  /** Steps in a point. */
  #stride = 1;
  #sum = 0;
  #count = 0;

  add(step: number, loss: number): void {
    this.#sum += loss;
    this.#count++;
    if (this.#count < this.#stride) return;
    this.points.push([step, this.#sum / this.#count]);
    this.#sum = 0;
    this.#count = 0;
    if (this.points.length < MOST_POINTS) return;
    for (let i = 0; 2 * i < MOST_POINTS; i++) {
      const [[, first], [last, second]] = [
        this.points[2 * i]!,
        this.points[2 * i + 1]!,
      ];
      this.points[i] = [last, (first + second) / 2];
    }
    this.points.length = MOST_POINTS / 2;
    this.#stride *= 2;
  }
}

/** Returns the range from the lowest loss to the highest, without the steep fall at the start, which would flatten the rest. */
function usualRange(curves: readonly Curve[]): [number, number] {
  const [training] = curves;
  const start = training![Math.floor(training!.length / 8)]![0];
  const values = curves.flatMap((curve) =>
    curve.filter(([step]) => step >= start).map(([, loss]) => loss)
  );
  return [Math.min(...values), Math.max(...values)];
}
