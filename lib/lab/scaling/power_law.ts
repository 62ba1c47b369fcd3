/** Loss as a function of a model's size and of the text it saw. */

import { refusal } from "../../refusal.ts";

/** A measured loss. */
export interface LossPoint {
  /** Parameters, N. */
  readonly parameters: number;
  /** Tokens seen in training, D. */
  readonly tokens: number;
  /** Validation loss, in nats per token. */
  readonly valLoss: number;
}

/** L(N, D) = E + A / N^α + B / D^β (Hoffmann et al. 2022, arXiv 2203.15556, equation 2). */
export interface PowerLaw {
  /** E: the loss that remains for any size and amount of text, in nats per token. */
  readonly floor: number;
  /** A and α. */
  readonly size: { readonly factor: number; readonly exponent: number };
  /** B and β. */
  readonly data: { readonly factor: number; readonly exponent: number };
  /** Root mean square of the points' distances from the law, in nats per token. */
  readonly residual: number;
}

/** Returns the loss that a law predicts for a size and an amount of text. */
export function predictedLoss(
  { floor, size, data }: Omit<PowerLaw, "residual">,
  { parameters, tokens }: Omit<LossPoint, "valLoss">,
): number {
  return floor + size.factor * parameters ** -size.exponent +
    data.factor * tokens ** -data.exponent;
}

/** Fewest points: one more than a law has parameters. */
const FEWEST = 6;

/** Range of exponents tried first, and how often the range around the best one is narrowed. */
const RANGE = { low: 0.02, high: 2, steps: 24, rounds: 8 } as const;

/**
 * Fits the law by least squares: for each pair of exponents the other parameters are linear, and
 * the best pair is searched on finer and finer grids.
 *
 * @throws {RangeError} if the points are fewer than 6, or of one size or amount of text alone
 */
export function fitPowerLaw(points: readonly LossPoint[]): PowerLaw {
  const kinds = (of: (point: LossPoint) => number) =>
    new Set(points.map(of)).size;
  if (
    points.length < FEWEST || kinds(({ parameters }) => parameters) < 3 ||
    kinds(({ tokens }) => tokens) < 3
  ) {
    throw refusal(
      RangeError,
      `fit a law to ${points.length} points`,
      `it takes ${FEWEST}, of 3 sizes and 3 amounts of text`,
    );
  }
  let best: PowerLaw | undefined;
  let sizes = grid(RANGE.low, RANGE.high);
  let amounts = sizes;
  for (let round = 0; round < RANGE.rounds; round++) {
    for (const size of sizes) {
      for (const data of amounts) {
        const law = withExponents(points, size, data);
        if (law && (!best || law.residual < best.residual)) best = law;
      }
    }
    if (best === undefined) break;
    sizes = around(best.size.exponent, sizes);
    amounts = around(best.data.exponent, amounts);
  }
  if (best !== undefined) return best;
  throw refusal(
    RangeError,
    "fit a law to these points",
    "their losses do not fall with size and text",
  );
}

/** Returns numbers from low to high, each larger than the last by the same factor. */
function grid(low: number, high: number): number[] {
  const step = Math.log(high / low) / (RANGE.steps - 1);
  return Array.from(
    { length: RANGE.steps },
    (_, i) => low * Math.exp(i * step),
  );
}

/** Returns a finer grid, two steps of the old one to either side of the best. */
function around(best: number, old: readonly number[]): number[] {
  const factor = (old[1]! / old[0]!) ** 2;
  return grid(best / factor, best * factor);
}

/** Fits the law with these exponents; undefined if it would rise with size or text. */
function withExponents(
  points: readonly LossPoint[],
  sizeExponent: number,
  dataExponent: number,
): PowerLaw | undefined {
  const rows = points.map(({ parameters, tokens }) => [
    1,
    parameters ** -sizeExponent,
    tokens ** -dataExponent,
  ]);
  const solution = leastSquares(rows, points.map(({ valLoss }) => valLoss));
  if (solution === undefined) return undefined;
  const [floor, size, data] = solution as [number, number, number];
  if (!(floor >= 0 && size >= 0 && data >= 0)) return undefined;
  const law = {
    floor,
    size: { factor: size, exponent: sizeExponent },
    data: { factor: data, exponent: dataExponent },
  };
  const squares = points.reduce(
    (sum, point) => sum + (predictedLoss(law, point) - point.valLoss) ** 2,
    0,
  );
  return { ...law, residual: Math.sqrt(squares / points.length) };
}

/**
 * Returns the factors of columns whose sum comes closest to the targets, by the normal equations;
 * undefined if the columns depend on each other.
 *
 * @param rows (points, columns)
 */
function leastSquares(
  rows: readonly (readonly number[])[],
  targets: readonly number[],
): number[] | undefined {
  const size = rows[0]!.length;
  // Scales columns to equal length, so that small ones do not lose precision.
  const scale = Array.from(
    { length: size },
    (_, j) => Math.hypot(...rows.map((row) => row[j]!)),
  );
  const scaled = rows.map((row) => row.map((x, j) => x / scale[j]!));
  const system = Array.from({ length: size }, (_, i) => [
    ...Array.from(
      { length: size },
      (_, j) => scaled.reduce((sum, row) => sum + row[i]! * row[j]!, 0),
    ),
    scaled.reduce((sum, row, point) => sum + row[i]! * targets[point]!, 0),
  ]);
  for (let i = 0; i < size; i++) {
    const pivot = system[i]![i]!;
    if (Math.abs(pivot) < 1e-12) return undefined;
    for (const [k, row] of system.entries()) {
      if (k === i) continue;
      const factor = row[i]! / pivot;
      for (let j = i; j <= size; j++) row[j]! -= factor * system[i]![j]!;
    }
  }
  return system.map((row, i) => row[size]! / row[i]! / scale[i]!);
}
