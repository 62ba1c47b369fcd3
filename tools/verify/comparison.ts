/** Compares computed numbers with recorded ones. The tolerances are in `tolerances.ts`. */

import { refusal } from "../../lib/refusal.ts";

/** Computed numbers beside recorded ones. */
export interface Pair {
  /** The name of the numbers, e.g. the parameter whose gradient they are. */
  readonly name: string;
  readonly recorded: ArrayLike<number>;
  readonly computed: ArrayLike<number>;
  /** Selects the numbers to compare; all if left out. */
  readonly only?: ((index: number) => boolean) | undefined;
}

/** An error and the place where it is largest. */
interface Deviation {
  readonly error: number;
  readonly where: string;
}

/**
 * The measure of an error.
 *
 * - `relative`: the largest difference over the largest recorded magnitude;
 * - `each`: the largest of the numbers' own relative differences;
 * - `absolute`: the largest difference;
 * - `mean`: the mean difference;
 * - `count`: how many differ at all.
 */
export type Measure = "relative" | "each" | "absolute" | "mean" | "count";

/** The largest error allowed. */
export interface Tolerance {
  readonly measure: Measure;
  readonly limit: number;
}

/** One line of a report. */
export interface Check extends Deviation {
  readonly quantity: string;
  readonly tolerance: Tolerance;
}

/** Returns true if the error is within the tolerance; an error of NaN never is. */
export function passes({ error, tolerance }: Check): boolean {
  return error <= tolerance.limit;
}

/** Returns the error of several pairs: the worst pair's, or for means and counts that of all numbers together. A NaN counts as infinite. */
function worstDeviation(pairs: readonly Pair[], measure: Measure): Deviation {
  let worst = { error: 0, where: pairs[0]?.name ?? "" };
  let [sum, count, differing] = [0, 0, 0];
  for (const { name, recorded, computed, only } of pairs) {
    if (recorded.length !== computed.length) {
      throw refusal(
        RangeError,
        `compare ${name}`,
        `it has ${recorded.length} numbers, and ${computed.length} were computed`,
      );
    }
    let [furthest, index, largest] = [0, -1, 0];
    for (let i = 0; i < recorded.length; i++) {
      if (only !== undefined && !only(i)) continue;
      const magnitude = Math.abs(recorded[i]!);
      let difference = Math.abs(recorded[i]! - computed[i]!);
      if (measure === "each") difference = ratio(difference, magnitude);
      if (Number.isNaN(difference)) difference = Infinity;
      if (difference > furthest) [furthest, index] = [difference, i];
      if (difference !== 0) differing++;
      largest = Math.max(largest, magnitude);
      sum += difference;
      count++;
    }
    const error = measure === "relative" ? ratio(furthest, largest) : furthest;
    if (error <= worst.error) continue;
    const where = `${name}[${index}]: recorded ${recorded[index]}, computed ${
      computed[index]
    }`;
    worst = { error: Number.isNaN(error) ? Infinity : error, where };
  }
  if (measure === "count") return { ...worst, error: differing };
  return measure === "mean" ? { ...worst, error: ratio(sum, count) } : worst;
}

/** Returns a / b, where 0 / 0 is 0. */
function ratio(a: number, b: number): number {
  return a === 0 ? 0 : a / b;
}

/** The checks of one file, and remarks on what was not checked. */
export class Report {
  readonly checks: Check[] = [];
  /** The prefix of the next checks' quantities. */
  label = "";
  readonly remarks: string[] = [];

  /** Adds a line for a quantity that is made of these pairs; none if there are no pairs. */
  compare(
    quantity: string,
    pairs: readonly Pair[],
    tolerance: Tolerance,
  ): void {
    if (pairs.length === 0) return;
    const worst = worstDeviation(pairs, tolerance.measure);
    this.checks.push({
      quantity: this.label + quantity,
      tolerance,
      ...worst,
    });
  }

  /** Adds a remark on what was not compared, and why. */
  remark(text: string): void {
    this.remarks.push(text);
  }
}
