/**
 * Checks of the sampler's distributions: softmax, top-k, top-p and min-p of each row of logits.
 *
 * The sampler computes in float64 on the host, whatever the device.
 */

import { reasonGiven } from "../../lib/refusal.ts";
import { Sampler, type SamplerOptions } from "../../lib/text/sampler.ts";
import type { Pair, Report, Tolerance } from "./comparison.ts";
import { type Recording, refuse } from "./recording.ts";

/** Probabilities are at most 1, and rounding to float32 moves 1 by half of 6e-8. */
const ROUNDED: Tolerance = { measure: "absolute", limit: 5e-8 };

const FLOAT64: Tolerance = { measure: "absolute", limit: 1e-12 };

/** The rounding error of a sum of probabilities. */
const ROUNDING = 1e-12;

/** One recorded distribution, an entry of metadata `settings`. */
export interface Setting {
  /** The tensor of probabilities (rows, V). With `TENSOR.count` (rows), I32, how many tokens are kept. */
  readonly tensor: string;
  /** The sampler's options, or those of each row. */
  readonly options: SamplerOptions | readonly SamplerOptions[];
  /** Rows in which another order of equal logits would be as good: compared sorted. */
  readonly tieRows?: readonly number[];
}

/** Checks `logits` (rows, V) under each of metadata `settings`. */
export function checkSampling(recording: Recording, report: Report): void {
  const [rows = 0, V = 0] = recording.shape("logits");
  const { values: logits } = recording.floats("logits", [rows, V]);
  const settings = recording.json("settings", readSettings);
  for (const { tensor: name, options, tieRows = [] } of settings) {
    const { values, precision } = recording.floats(name, [rows, V]);
    const counts = recording.has(`${name}.count`)
      ? recording.ids(`${name}.count`, 1, V + 1).data
      : undefined;
    if ((counts?.length ?? rows) !== rows) {
      refuse(
        `tensor ${name}.count has ${counts?.length} numbers, not ${rows}`,
      );
    }
    const pairs: Pair[] = [];
    const kept: number[] = [];
    for (let row = 0; row < rows; row++) {
      const own = (of: Float32Array | Float64Array) =>
        of.subarray(row * V, (row + 1) * V);
      const computed = distribution(
        own(logits),
        Array.isArray(options) ? options[row] ?? {} : options,
        counts?.[row] ?? own(values).filter((p) => p > 0).length,
      );
      const order = (p: Float32Array | Float64Array) =>
        tieRows.includes(row) ? p.toSorted() : p;
      pairs.push({
        name: `${name} row ${row}`,
        recorded: order(own(values)),
        computed: order(computed),
      });
      kept.push(computed.filter((p) => p > 0).length);
    }
    report.compare(name, pairs, precision === "float64" ? FLOAT64 : ROUNDED);
    if (counts === undefined) continue;
    report.compare(`${name}.count`, [
      { name: `${name}.count`, recorded: counts, computed: kept },
    ], { measure: "count", limit: 0 });
  }
}

/** @throws {TypeError} if this is not a list of settings, with options that are known */
function readSettings(value: unknown): Setting[] {
  if (!Array.isArray(value)) refuse("it is not a list");
  for (const [i, setting] of value.entries()) {
    const { tensor, options, tieRows = [], ...others } = Object(setting);
    const unknown = [options].flat().map((row) =>
      isObject(row)
        ? Object.keys(row).find((key) =>
          !known.includes(key)
        )
        : "this"
    ).find((key) => key !== undefined) ?? Object.keys(others)[0];
    if (unknown !== undefined) {
      refuse(`entry ${i}: ${unknown} is not a known option`);
    }
    if (typeof tensor !== "string" || !Array.isArray(tieRows)) {
      refuse(
        `entry ${i} has no tensor, or its tieRows is no list`,
      );
    }
  }
  return value;
}

const known = ["temperature", "topK", "topP", "minP"];

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** Returns the sampler's distribution; where `topP` is a cumulative sum but for rounding, on the side that keeps as many as the record. */
function distribution(
  logits: Float32Array | Float64Array,
  options: SamplerOptions,
  count: number,
): Float64Array {
  const sides = options.topP === undefined ? [0] : [0, -ROUNDING, ROUNDING];
  try {
    const candidates = sides.map((side) =>
      new Sampler(
        side === 0 ? options : { ...options, topP: options.topP! + side },
      ).probabilities(logits)
    );
    return candidates.find((p) => p.filter((p) => p > 0).length === count) ??
      candidates[0]!;
  } catch (error) {
    refuse(reasonGiven(error));
  }
}
