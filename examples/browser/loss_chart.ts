/// <reference lib="dom" />

/** A chart of losses that grows while a model trains. */

import { makeSvg, onNextFrame } from "./elements.ts";

/** The mean loss of one or several steps. */
interface Point {
  readonly step: number;
  readonly loss: number;
}

/** Most points of a line; above it, neighbours are joined. */
const MOST_POINTS = 600;

const margin = { left: 34, right: 8, top: 10, bottom: 22 };

/** Draws losses by step, and the losses of models that count as flat lines. */
export class LossChart {
  readonly #svg: SVGSVGElement;
  readonly #drawSoon: () => void;
  #lastStep = 1;
  /** Losses of batches; each point is the mean of so many steps. */
  #batches: Point[] = [];
  #evaluations: Point[] = [];
  #counting: { readonly name: string; readonly loss: number }[] = [];
  /** Steps at which the mask was replaced. */
  #changes: number[] = [];

  /** Takes over an empty drawing. */
  constructor(svg: SVGSVGElement) {
    this.#svg = svg;
    this.#drawSoon = onNextFrame(() => this.#draw());
    new ResizeObserver(this.#drawSoon).observe(svg);
  }

  /** Empties the chart. */
  clear(): void {
    this.#batches = [];
    this.#evaluations = [];
    this.#counting = [];
    this.#changes = [];
    this.#drawSoon();
  }

  /** Sets the last step of the axis. */
  setLastStep(step: number): void {
    this.#lastStep = step;
    this.#drawSoon();
  }

  /** Forgets what lies after a step, because training goes back to it. */
  forget(last: number): void {
    const isKept = ({ step }: Point) => step <= last;
    this.#batches = this.#batches.filter(isKept);
    this.#evaluations = this.#evaluations.filter(isKept);
    this.#drawSoon();
  }

  /** Adds losses of training batches. */
  addBatches(points: readonly Point[]): void {
    this.#batches.push(...points);
    if (this.#batches.length > 2 * MOST_POINTS) {
      this.#batches = joined(this.#batches);
    }
    this.#drawSoon();
  }

  /** Adds a loss on the text held back. */
  addEvaluation(point: Point): void {
    this.#evaluations.push(point);
    this.#drawSoon();
  }

  /** Adds the loss of a model that counts. */
  addCounting(name: string, loss: number): void {
    this.#counting.push({ name, loss });
    this.#drawSoon();
  }

  /** Marks a step at which the mask was replaced. */
  markChange(step: number): void {
    this.#changes.push(step);
    this.#drawSoon();
  }

  #draw(): void {
    const { width, height } = this.#svg.getBoundingClientRect();
    const losses = [...this.#batches, ...this.#evaluations, ...this.#counting]
      .map(({ loss }) => loss).filter(Number.isFinite);
    const top = Math.ceil(2 * Math.max(1, ...losses)) / 2;
    const bottom = Math.floor(2 * Math.min(top - 0.5, ...losses)) / 2;
    const x = (step: number) =>
      margin.left +
      step / this.#lastStep * (width - margin.left - margin.right);
    const y = (loss: number) =>
      margin.top +
      (top - loss) / (top - bottom) * (height - margin.top - margin.bottom);
    const line = (points: readonly Point[]) =>
      points.map(({ step, loss }) =>
        `${x(step).toFixed(1)},${y(loss).toFixed(1)}`
      )
        .join(" ");
    const across = { x1: margin.left, x2: width - margin.right };
    const parts: SVGElement[] = [];
    for (let loss = bottom; loss <= top; loss += 0.5) {
      parts.push(
        makeSvg("line", { class: "grid", ...across, y1: y(loss), y2: y(loss) }),
        makeSvg(
          "text",
          { x: margin.left - 5, y: y(loss) + 4, "text-anchor": "end" },
          loss.toFixed(1),
        ),
      );
    }
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      const step = Math.round(share * this.#lastStep);
      const anchor = share === 0 ? "start" : share === 1 ? "end" : "middle";
      parts.push(
        makeSvg(
          "text",
          { x: x(step), y: height - 6, "text-anchor": anchor },
          step.toLocaleString("en"),
        ),
      );
    }
    for (const step of this.#changes) {
      const up = { x1: x(step), x2: x(step), y1: margin.top };
      parts.push(
        makeSvg("line", { class: "change", ...up, y2: height - margin.bottom }),
      );
    }
    parts.push(
      makeSvg("polyline", { class: "batch", points: line(this.#batches) }),
    );
    parts.push(
      ...this.#counting.map(({ loss }) =>
        makeSvg("line", {
          ...{ class: "counting", ...across, y1: y(loss), y2: y(loss) },
        })
      ),
      makeSvg("polyline", { class: "val", points: line(this.#evaluations) }),
      ...this.#counting.map(({ name, loss }) =>
        makeSvg("text", {
          ...{ class: "counting-name", "text-anchor": "end" },
          ...{ x: width - margin.right, y: y(loss) - 3 },
        }, name)
      ),
    );
    this.#svg.replaceChildren(...parts);
  }
}

/** Returns the means of neighbours, two at a time. */
function joined(points: readonly Point[]): Point[] {
  const pairs: Point[] = [];
  for (let i = 0; i + 1 < points.length; i += 2) {
    const [a, b] = [points[i]!, points[i + 1]!];
    pairs.push({ step: b.step, loss: (a.loss + b.loss) / 2 });
  }
  return pairs;
}
