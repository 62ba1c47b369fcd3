/** Ranges of numbers: limits, and refusals of values beyond them. */

import { refusal } from "./refusal.ts";

/** Limits of a number. `least` and `most` are inclusive, `above` and `below` exclusive. */
export interface Range {
  readonly least?: number;
  readonly most?: number;
  /** Exclusive lower limit. */
  readonly above?: number;
  /** Exclusive upper limit. */
  readonly below?: number;
  /** True if the number must be an integer. */
  readonly whole?: boolean;
}

/** Returns whether a value is a finite number within a range. */
export function isWithin(value: unknown, range: Range): boolean {
  const { least = -Infinity, most = Infinity } = range;
  const { above = -Infinity, below = Infinity, whole = false } = range;
  return typeof value === "number" && Number.isFinite(value) &&
    value >= least && value <= most && value > above && value < below &&
    (!whole || Number.isSafeInteger(value));
}

/** Describes a range in words, e.g. `an integer from 1 to 1024`. */
export function rangeName(range: Range): string {
  const { least, most, above, below, whole = false } = range;
  const noun = whole ? "an integer" : "a number";
  const [from, to] = [least ?? above, most ?? below];
  if (from === undefined) return `${whole ? "an integer" : "a finite number"}`;
  const low = above === undefined ? `${from}` : `above ${from}`;
  if (to === undefined) {
    return above === undefined
      ? `${noun} of at least ${low}`
      : `${noun} ${low}`;
  }
  const high = below === undefined ? `${to}` : `below ${to}`;
  return `${noun} from ${low} to ${high}`;
}

/**
 * Checks that numbers lie within a range.
 *
 * @param action what cannot be done with another number, as `create Dataset`
 * @param numbers the numbers, by their names
 * @param hint what may help
 * @throws {RangeError} if it does not
 */
export function checkWithin(
  range: Range,
  action: string,
  numbers: Readonly<Record<string, number>>,
  hint?: string,
): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (isWithin(value, range)) continue;
    const reason = `${name} (${value}) is not ${rangeName(range)}`;
    throw refusal(RangeError, action, reason, { fields: [name], hint });
  }
}

/** Range of a count: an integer of at least 1. */
export const positive: Range = { least: 1, whole: true };

/** Range of a seed, a step or a row: an unsigned integer of 32 bits. */
export const word: Range = { least: 0, most: 2 ** 32 - 1, whole: true };
