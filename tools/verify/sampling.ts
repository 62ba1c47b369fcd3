/**
 * Checks of the sampler's distributions (files of model `definition`): softmax,
 * top-k and top-p of each row of logits, with the number of tokens kept.
 *
 * The sampler computes in float64 on the host, whatever the device.
 */

import { Sampler, type SamplerOptions } from "../../lib/text/sampler.ts";
import type { Report, Tolerance } from "./comparison.ts";
import { Fields, isIndex } from "./fields.ts";
import { NotUnderstoodError } from "./not_understood.ts";
import type { Recording } from "./recording.ts";

/** Probabilities are at most 1, and rounding to float32 moves 1 by half of 6e-8. */
const PROBABILITY: Tolerance = { measure: "absolute", limit: 5e-8 };

/** How exactly a sum of probabilities is known. */
const ROUNDING = 1e-12;

const EXACT: Tolerance = { measure: "count", limit: 0 };

/** The recorded logits, (rows, V). */
interface Table {
  readonly rows: number;
  readonly V: number;
  readonly logits: Float32Array;
}

/** One recorded distribution. */
interface Setting {
  readonly tensor: string;
  readonly temperature: number;
  /** Rows in which another order of equal logits would be as good: compared sorted. */
  readonly tieRows: ReadonlySet<number>;
}

/** Checks all that is recorded of the sampler. */
export function checkSampling(recording: Recording, report: Report): void {
  const table = readTable(recording);
  for (const [name, temperature] of recording.matching(/^softmax\.t(.+)$/)) {
    const sampler = new Sampler({ temperature: numberOf(name, temperature!) });
    const computed = distributions(table, () => sampler);
    compare(recording, report, { table, name, computed });
  }
  for (const fields of settings(recording, "topk")) {
    checkTopK(recording, report, { table, fields });
  }
  for (const fields of settings(recording, "topp")) {
    checkTopP(recording, report, { table, fields });
  }
}

function readTable(recording: Recording): Table {
  const fields = recording.fields("config");
  const [rows = 0, V = 0] = recording.shape("logits");
  for (const [key, length] of [["rows", rows], ["vocab_size", V]] as const) {
    if (fields.count(key, length) !== length) {
      throw fields.refusal(key, `what tensor logits has, which is ${length}`);
    }
  }
  fields.finish();
  return { rows, V, logits: recording.floats("logits", [rows, V]) };
}

function numberOf(name: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new NotUnderstoodError(`tensor ${name}: ${text} is no temperature`);
}

/** The entries of metadata `topk` or `topp`. */
function settings(recording: Recording, key: string): Fields[] {
  const entries = recording.json(key) ?? [];
  if (!Array.isArray(entries)) {
    throw new NotUnderstoodError(`metadata ${key} is not a list`);
  }
  return entries.map((entry, i) => new Fields(`${key}[${i}]`, entry));
}

function readSetting(fields: Fields): Setting {
  return {
    tensor: fields.text("tensor"),
    temperature: fields.number("temperature", 1),
    tieRows: new Set(fields.list("boundary_tie_rows", isIndex, [])),
  };
}

function sampler(options: SamplerOptions): Sampler {
  try {
    return new Sampler(options);
  } catch (error) {
    throw new NotUnderstoodError((error as Error).message);
  }
}

/** The sampler's distribution of each row, (rows, V). */
function distributions(
  { rows, V, logits }: Table,
  samplerOf: (row: number) => Sampler,
): Float64Array {
  const result = new Float64Array(rows * V);
  for (let row = 0; row < rows; row++) {
    const values = logits.subarray(row * V, (row + 1) * V);
    result.set(samplerOf(row).probabilities(values), row * V);
  }
  return result;
}

function compare(
  recording: Recording,
  report: Report,
  { table: { rows, V }, name, computed, tieRows = new Set() }: {
    table: Table;
    name: string;
    computed: Float64Array;
    tieRows?: ReadonlySet<number>;
  },
): void {
  const recorded = recording.floats(name, [rows, V]);
  report.compare(
    name,
    Array.from({ length: rows }, (_, row) => {
      const part = (values: Float32Array | Float64Array) => {
        const own = values.subarray(row * V, (row + 1) * V);
        return tieRows.has(row) ? own.toSorted() : own;
      };
      return {
        name: `${name} row ${row}`,
        recorded: part(recorded),
        computed: part(computed),
      };
    }),
    PROBABILITY,
  );
}

/** The k largest; and, in `tensor_keepties`, everything equal to the k-th. */
function checkTopK(
  recording: Recording,
  report: Report,
  { table, fields }: { table: Table; fields: Fields },
): void {
  const { tensor: name, temperature, tieRows } = readSetting(fields);
  const topK = fields.count("k");
  const keepTies = fields.value("tensor_keepties");
  if (keepTies !== undefined) fields.text("tensor_keepties");
  fields.finish();
  const plain = sampler({ temperature, topK });
  const computed = distributions(table, () => plain);
  compare(recording, report, { table, name, computed, tieRows });
  if (keepTies === undefined) return;
  const { V, logits } = table;
  const withTies = distributions(table, (row) => {
    const values = logits.subarray(row * V, (row + 1) * V);
    const last = values.toSorted().at(-Math.min(topK, V))!;
    const kept = values.filter((logit) => logit >= last).length;
    return sampler({ temperature, topK: kept });
  });
  compare(recording, report, {
    table,
    name: keepTies as string,
    computed: withTies,
  });
}

/** The smallest prefix of the descending distribution that reaches p; how many that are, and how clear a case it is. */
function checkTopP(
  recording: Recording,
  report: Report,
  { table, fields }: { table: Table; fields: Fields },
): void {
  const { tensor: name, temperature, tieRows } = readSetting(fields);
  const topP = fields.number("p");
  fields.finish();
  const { rows, V } = table;
  const count = `${name}.count`;
  const margin = `${name}.margin`;
  const recordedCounts = recording.has(count)
    ? recording.ids(count, 1, V + 1).data
    : undefined;
  const margins = recording.has(margin)
    ? recording.floats(margin, [rows])
    : undefined;
  const rowOf = (values: Float64Array, row: number) =>
    values.subarray(row * V, (row + 1) * V);
  const countsOf = (values: Float64Array) =>
    Array.from(
      { length: rows },
      (_, row) => rowOf(values, row).filter((p) => p > 0).length,
    );
  const nucleus = (p: number) =>
    distributions(table, () => sampler({ temperature, topP: p }));
  const computed = nucleus(topP);
  // Where p is a cumulative sum, rounding decides on which side: either is right.
  for (const side of [nucleus(topP - ROUNDING), nucleus(topP + ROUNDING)]) {
    countsOf(side).forEach((count, row) => {
      if ((margins?.[row] ?? 1) < ROUNDING && count === recordedCounts?.[row]) {
        computed.set(rowOf(side, row), row * V);
      }
    });
  }
  compare(recording, report, { table, name, computed, tieRows });
  const counts = countsOf(computed);
  if (recordedCounts !== undefined) {
    report.compare(count, [
      { name: count, recorded: recordedCounts, computed: counts },
    ], EXACT);
  }
  if (margins !== undefined) {
    const full = distributions(table, () => sampler({ temperature }));
    report.compare(margin, [{
      name: margin,
      recorded: margins,
      computed: counts.map((count, row) =>
        marginOf(rowOf(full, row), { p: topP, count })
      ),
    }], PROBABILITY);
  }
}

/** How far p may move before another number of tokens is kept; 1 where it may move at will. */
function marginOf(
  probabilities: Float64Array,
  { p, count }: { p: number; count: number },
): number {
  if (p <= 0 || p >= 1) return 1;
  const descending = probabilities.toSorted().toReversed();
  const upTo = (n: number) =>
    descending.subarray(0, n).reduce((sum, value) => sum + value, 0);
  return Math.min(p - upTo(count - 1), upTo(count) - p);
}
