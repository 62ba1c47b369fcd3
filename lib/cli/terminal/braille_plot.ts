/** Curves in text: each character of Unicode's Braille patterns holds 2 by 4 dots; in plain ASCII a character is one. */

/** A curve: points in the order of x. */
export type Curve = readonly (readonly [x: number, y: number])[];

/** The size, axes and style of a plot. */
export interface PlotFrame {
  /** Columns, labels included. */
  readonly width: number;
  /** Lines. */
  readonly height: number;
  /** The x values at the left and the right edge. */
  readonly x: readonly [from: number, to: number];
  /** The y values at the bottom and the top edge; a curve that leaves this range is drawn up to the edge. */
  readonly y: readonly [from: number, to: number];
  /** True if only ASCII may be used. */
  readonly ascii?: boolean;
  /** Characters that mark the points of a curve instead of a line, by the curve's place in the list. */
  readonly marks?: readonly (string | undefined)[];
  /** Colours a part of a curve, by the curve's place in the list. */
  readonly paint?: (text: string, curve: number) => string;
}

/** Columns of the labels at the left: four digits, a space, the axis. */
const LABEL = 6;

/** The bits of a pattern's dots, by column and row (Unicode 16.0, Braille Patterns, U+2800). */
const DOTS = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]] as const;

/** Draws curves into lines of text, and the axis of x below; later curves over earlier ones. */
export function braillePlot(
  curves: readonly Curve[],
  { width, height, x, y, ascii = false, marks = [], paint = (text) => text }:
    PlotFrame,
): string[] {
  const columns = Math.max(1, width - LABEL);
  const cells = new Uint8Array(columns * height);
  const owners = new Uint8Array(columns * height);
  const marked = new Map<number, string>();
  const across = scale(x, 2 * columns);
  const down = scale([y[1], y[0]], 4 * height);
  for (const [index, curve] of curves.entries()) {
    let last: { dot: readonly [number, number]; side: number } | undefined;
    for (const [px, py] of curve) {
      const dot = [across(px), down(py)] as const;
      const side = py > y[1] ? 1 : py < y[0] ? -1 : 0;
      const visible = side === 0 || (last !== undefined && last.side !== side);
      const mark = marks[index];
      const from = mark === undefined ? last?.dot ?? dot : dot;
      const way = visible && (mark === undefined || side === 0)
        ? between(from, dot)
        : [];
      for (const [column, row] of way) {
        const cell = (row >> 2) * columns + (column >> 1);
        cells[cell]! |= DOTS[column & 1]![row & 3]!;
        owners[cell] = index;
        if (mark !== undefined) marked.set(cell, mark);
        else marked.delete(cell);
      }
      last = { dot, side };
    }
  }
  const character = (cell: number) =>
    marked.get(cell) ??
      (ascii
        ? cells[cell] === 0 ? " " : "."
        : String.fromCharCode(0x2800 + cells[cell]!));
  const [bar, tick] = ascii ? ["|", "+"] : ["│", "┤"];
  const lines = Array.from({ length: height }, (_, line) => {
    const label = line === 0 ? y[1] : line === height - 1 ? y[0] : undefined;
    const head = label === undefined
      ? " ".repeat(LABEL - 1) + bar
      : `${label.toFixed(2).padStart(LABEL - 2)} ${tick}`;
    const at = line * columns;
    return head + drawn(character, owners, { at, columns, paint });
  });
  return [...lines, xAxis(x, columns, ascii)];
}

/** Draws the axis of x: its ends, and between them as many round values as there is room for. */
function xAxis(
  [from, to]: readonly [number, number],
  columns: number,
  ascii: boolean,
): string {
  const [corner, line] = ascii ? ["+", "-"] : ["└", "─"];
  const row = Array.from({ length: columns }, () => line);
  const free = new Array(columns).fill(true);
  const put = (value: number, at: number) => {
    const text = String(value);
    const start = Math.max(0, Math.min(columns - text.length, at));
    // A column on each side keeps labels apart.
    const taken = free.slice(Math.max(0, start - 2), start + text.length + 2);
    if (text.length > columns || taken.includes(false)) return;
    for (let i = 0; i < text.length; i++) {
      row[start + i] = text[i]!;
      free[start + i] = false;
    }
  };
  put(Math.round(from), 0);
  if (to > from) {
    put(Math.round(to), columns);
    const step = roundStep((to - from) * 10 / columns);
    for (let value = step; value < to; value += step) {
      const at = (value - from) / (to - from) * (columns - 1);
      if (value > from) put(value, Math.round(at - String(value).length / 2));
    }
  }
  return " ".repeat(LABEL - 1) + corner + row.join("");
}

/** Returns the least of 1, 2, 5, 10, 20 … that is not below a value. */
function roundStep(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value)!;
}

/** Reduces a curve to at most `count` points: the means over that many equal intervals of steps. */
export function bucketed(curve: Curve, count: number): Curve {
  const [first, last] = [curve[0], curve.at(-1)];
  if (first === undefined || last === undefined || curve.length <= count) {
    return curve;
  }
  const sums = new Float64Array(2 * count);
  const counts = new Uint32Array(count);
  const span = last[0] - first[0];
  for (const [x, y] of curve) {
    const bucket = Math.min(
      count - 1,
      Math.floor(count * (x - first[0]) / span),
    );
    sums[2 * bucket]! += x;
    sums[2 * bucket + 1]! += y;
    counts[bucket]!++;
  }
  return Array.from(counts, (n, i): [number, number] => [
    sums[2 * i]! / n,
    sums[2 * i + 1]! / n,
  ]).filter(([x]) => !Number.isNaN(x));
}

function drawn(
  character: (cell: number) => string,
  owners: Uint8Array,
  { at, columns, paint }: Required<Pick<PlotFrame, "paint">> & {
    readonly at: number;
    readonly columns: number;
  },
): string {
  let text = "";
  for (let from = 0; from < columns;) {
    const owner = owners[at + from]!;
    let to = from;
    let part = "";
    while (to < columns && owners[at + to] === owner) {
      part += character(at + to++);
    }
    text += paint(part, owner);
    from = to;
  }
  return text;
}

/** Returns a function that maps a range of values to `count` dots. */
function scale(
  [from, to]: readonly [number, number],
  count: number,
): (value: number) => number {
  const span = to - from;
  return (value) => {
    const share = span === 0 ? 0.5 : (value - from) / span;
    return Math.max(0, Math.min(count - 1, Math.round(share * (count - 1))));
  };
}

/** Yields the dots of a straight line, both ends included. */
function* between(
  [x0, y0]: readonly [number, number],
  [x1, y1]: readonly [number, number],
): Generator<readonly [number, number]> {
  const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
  for (let i = 0; i <= steps; i++) {
    const share = i / steps;
    yield [
      Math.round(x0 + share * (x1 - x0)),
      Math.round(y0 + share * (y1 - y0)),
    ];
  }
}
