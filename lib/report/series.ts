/** Ways to shorten long series for drawing. */

/** A point of a curve. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/**
 * Reduces a curve to at most `2 * buckets` points that look the same: the lowest and the highest
 * point of each bucket, in their original order.
 */
export function extremes(points: readonly Point[], buckets: number): Point[] {
  if (points.length <= 2 * buckets) return [...points];
  return chunks(points, buckets).flatMap((chunk) => {
    const low = chunk.reduce((a, b) => b.y < a.y ? b : a);
    const high = chunk.reduce((a, b) => b.y > a.y ? b : a);
    if (low === high) return [low];
    return low.x < high.x ? [low, high] : [high, low];
  });
}

/**
 * Returns means over windows centred on their point, `share` of the curve wide, at `count` points.
 * Near the start, where curves are steep, windows are narrower; at the end, where curves are
 * noisy, windows keep their left half.
 */
export function smoothed(
  points: readonly Point[],
  { share = 0.04, count = 240 }: {
    readonly share?: number;
    readonly count?: number;
  } = {},
): Point[] {
  const n = points.length;
  const sums = new Float64Array(n + 1);
  points.forEach(({ y }, i) => sums[i + 1] = sums[i]! + y);
  const half = Math.floor(n * share / 2);
  return thinned([...points.keys()], count).map((i) => {
    const from = i - Math.min(half, i);
    const to = i + 1 + Math.min(half, i, n - 1 - i);
    return { x: points[i]!.x, y: (sums[to]! - sums[from]!) / (to - from) };
  });
}

/** Returns at most `count` evenly spread items, among them the first and the last. */
export function thinned<Thing>(
  things: readonly Thing[],
  count: number,
): Thing[] {
  const n = things.length;
  if (n <= count) return [...things];
  if (count === 1) return [things[n - 1]!];
  return Array.from(
    { length: count },
    (_, k) => things[Math.round(k * (n - 1) / (count - 1))]!,
  );
}

function chunks(points: readonly Point[], count: number): Point[][] {
  const n = points.length;
  return Array.from(
    { length: count },
    (_, k) =>
      points.slice(Math.floor(k * n / count), Math.floor((k + 1) * n / count)),
  );
}
