/** Labels of charts: short enough to fit, all different, and never drawn over each other. */

import { Markup, markup } from "./markup.ts";

/** Average width of a character at the charts' font size, in pixels. */
const CHARACTER = 6.3;

/** Allows line breaks after the signs in a name such as `nLayer=2+optimizer=sgd`. */
export function breakable(name: string): Markup {
  return markup`${
    name.split(/(?<=[-+=_,/.])/).map((piece, i) =>
      markup`${i > 0 && new Markup("<wbr>")}${piece}`
    )
  }`;
}

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Estimates the width of a text in a chart, in pixels: W is almost twice as wide as an average character. */
export function widthOf(text: string): number {
  const capitals = text.match(/[A-Z@%mw]/g)?.length ?? 0;
  const widest = text.match(/[MW@%]/g)?.length ?? 0;
  return CHARACTER * columns(segments(text)) + 2 * capitals + 3 * widest;
}

/** Splits a text into the characters that a reader sees: 👩‍👧 is one. */
function segments(text: string): string[] {
  return Array.from(graphemes.segment(text), ({ segment }) => segment);
}

/** Counts columns: a character that is not Latin, Greek, Cyrillic, Hebrew or Arabic may take two. */
function columns(characters: readonly string[]): number {
  return characters.reduce(
    (sum, character) => sum + (character.codePointAt(0)! < 0x800 ? 1 : 2),
    0,
  );
}

/**
 * Shortens names to at most `most` columns. A longer name keeps its beginning and its end around
 * an ellipsis. If two names would then be equal, their common part is left out and the part that
 * differs is kept. Names that cannot differ in so few columns get a number.
 */
export function shortened(names: readonly string[], most: number): string[] {
  const all = names.map(segments);
  const long = all.filter((name) => columns(name) > most);
  const start = sharedStart(long);
  const end = Math.min(
    sharedStart(long.map((name) => name.toReversed())),
    ...long.map(({ length }) => length - start),
  );
  const whole = all.map((name) => middleCut(name, most));
  // Without most of what all of the long names share.
  const differing = all.map((name) =>
    columns(name) <= most
      ? name.join("")
      : middleCut(["…", ...name.slice(start, name.length - end)], most)
  );
  for (const short of [whole, differing]) {
    if (new Set(short).size === names.length) return short;
  }
  const counts = Map.groupBy(whole.keys(), (i) => whole[i]!);
  return whole.map((short, i) =>
    counts.get(short)!.every((j) => names[j] === names[i])
      ? short
      : `${middleCut(segments(short), most - 4)}#${i + 1}`
  );
}

/** Counts the characters that all names begin with. */
function sharedStart(names: readonly string[][]): number {
  const [first = []] = names;
  const differs = first.findIndex((character, i) =>
    names.some((name) => name[i] !== character)
  );
  return Math.max(0, differs);
}

function middleCut(name: readonly string[], most: number): string {
  if (columns(name) <= most) return name.join("");
  const head = headOf(name, Math.ceil((most - 1) / 2));
  const tail = headOf(name.toReversed(), Math.floor((most - 1) / 2));
  return [...head, "…", ...tail.toReversed()].join("");
}

/** Returns as many characters from the start as fit into `most` columns. */
function headOf(name: readonly string[], most: number): string[] {
  let used = 0;
  return name.slice(
    0,
    name.findIndex((character) => (used += columns([character])) > most),
  );
}

/**
 * Moves positions apart until each is `gap` from the next, as little as possible: from the first
 * on downwards, and from the last back where that leaves the range.
 *
 * @param positions in pixels, in any order
 * @param range where they may be; they leave it only if there is no room for all
 */
export function dodged(
  positions: readonly number[],
  gap: number,
  [low, high]: readonly [low: number, high: number],
): number[] {
  const order = [...positions.keys()]
    .sort((a, b) => positions[a]! - positions[b]! || a - b);
  const moved = [...positions];
  let least = low;
  for (const i of order) {
    moved[i] = Math.max(moved[i]!, least);
    least = moved[i]! + gap;
  }
  let most = high;
  for (const i of order.toReversed()) {
    if (moved[i]! <= most) break;
    moved[i] = most;
    most -= gap;
  }
  return moved;
}

/** A rectangle in pixels. */
interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** A label of a point. */
export interface PointLabel {
  /** The point, in pixels. */
  readonly x: number;
  readonly y: number;
  readonly text: string;
}

/** Offset of a label from its point, and the end of the text at that offset. */
export interface Placement {
  readonly dx: number;
  readonly dy: number;
  readonly textAnchor: "start" | "end";
}

/** Height of a line of text, and the radius of a point including its margin, in pixels. */
const LINE = 13;
const RADIUS = 6;

/**
 * Finds a place beside each point for its label, where it lies on as few points and other labels
 * as possible: left of it if that is free, or else right, higher and lower, step by step.
 *
 * @param points everything that labels must not cover, in pixels
 * @param frame where labels may be
 */
export function placed(
  labels: readonly PointLabel[],
  points: readonly { readonly x: number; readonly y: number }[],
  frame: Box,
): Placement[] {
  const dots = points.map(({ x, y }): Box => ({
    ...{ left: x - RADIUS, right: x + RADIUS },
    ...{ top: y - RADIUS, bottom: y + RADIUS },
  }));
  const texts: Box[] = [];
  const candidates = Array.from({ length: 16 }, (_, ring) => ring * LINE / 2)
    .flatMap((away) =>
      [-9 - away, 9 + away].flatMap((dy) =>
        (["end", "start"] as const).map((textAnchor): Placement => ({
          ...{ dy, textAnchor, dx: textAnchor === "end" ? -9 : 9 },
        }))
      )
    );
  return labels.map((label) => {
    const boxOf = ({ dx, dy, textAnchor }: Placement): Box => {
      const width = widthOf(label.text);
      const [x, y] = [label.x + dx, label.y + dy];
      const left = textAnchor === "end" ? x - width : x;
      return {
        ...{ left, right: left + width },
        ...{ top: y - LINE / 2, bottom: y + LINE / 2 },
      };
    };
    const on = (boxes: readonly Box[], box: Box) =>
      boxes.filter((other) => overlaps(box, other)).length;
    // Text over other text cannot be read, text over a point can.
    const cost = (box: Box) =>
      on(dots, box) + 100 * on(texts, box) +
      (isWithin(box, frame) ? 0 : 1000);
    let best = candidates[0]!;
    let least = Infinity;
    for (const candidate of candidates) {
      const found = cost(boxOf(candidate));
      if (found < least) [best, least] = [candidate, found];
    }
    texts.push(boxOf(best));
    return best;
  });
}

function overlaps(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom &&
    b.top < a.bottom;
}

function isWithin(box: Box, frame: Box): boolean {
  return box.left >= frame.left && box.right <= frame.right &&
    box.top >= frame.top && box.bottom <= frame.bottom;
}
