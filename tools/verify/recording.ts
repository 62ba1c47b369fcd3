/**
 * A recording of another implementation: the tensors and metadata of one file, and which of them the
 * checks have read. tools/record/README.md describes the format.
 */

import { reasonGiven } from "../../lib/refusal.ts";
import type { Pair, Report, Tolerance } from "./comparison.ts";
import type { Safetensors, TensorData } from "../../lib/formats/safetensors.ts";

/** A file, or a part of one, that cannot be judged. The message says which part and why. */
export class NotUnderstoodError extends Error {
  override readonly name = "NotUnderstoodError";
}

/** Throws an error that says why a file, or a part of it, cannot be judged. */
export function refuse(reason: string): never {
  throw new NotUnderstoodError(reason);
}

/** The precision in which a quantity was computed and stored: in float32; in float64 and rounded to float32; in float64. */
export type Precision = "float32" | "rounded" | "float64";

/** Recorded numbers. */
export interface Floats {
  readonly name: string;
  readonly precision: Precision;
  readonly values: Float32Array | Float64Array;
}

/** Numbers computed for a record. */
export interface Computed {
  /** The record's tensor. */
  readonly name: string;
  /** The shape that the tensor must have. */
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
  /** Selects the numbers to compare; all if left out. */
  readonly only?: Pair["only"];
}

/** Integers with their shape. */
export interface Ids {
  readonly shape: readonly number[];
  readonly data: Int32Array;
}

/** One file's content. Every tensor that is read counts as checked. */
export class Recording {
  readonly #tensors: ReadonlyMap<string, TensorData>;
  readonly #metadata: Readonly<Record<string, string>>;
  readonly #read = new Set<string>();

  constructor({ tensors, metadata }: Safetensors) {
    this.#tensors = tensors;
    this.#metadata = metadata;
    const { format, version } = metadata;
    if (format !== "lm recording" || version !== "1") {
      refuse(
        `metadata format is ${JSON.stringify(format)}, version ${
          JSON.stringify(version)
        }, not "lm recording", version "1"`,
      );
    }
    this.text("source");
    const computed = this.text("computed") ?? "float32";
    if (computed !== "float32" && computed !== "float64") {
      refuse(
        `metadata computed is ${
          JSON.stringify(computed)
        }, not "float32" or "float64"`,
      );
    }
  }

  /** The number of tensors. */
  get size(): number {
    return this.#tensors.size;
  }

  /** Tensors and metadata that no check has read. */
  get unread(): string[] {
    return [
      ...[...this.#tensors.keys()].map((name) => `tensor ${name}`),
      ...Object.keys(this.#metadata).map((key) => `metadata ${key}`),
    ].filter((what) => !this.#read.has(what))
      .filter((what) => !/^metadata (format|version)$/.test(what));
  }

  /** Returns all matches of a pattern with tensor names, in the file's order. */
  matching(pattern: RegExp): RegExpExecArray[] {
    return [...this.#tensors.keys()].map((name) => pattern.exec(name))
      .filter((match) => match !== null);
  }

  /** Returns true if there is a tensor of this name. */
  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** Returns the shape of a tensor. */
  shape(name: string): readonly number[] {
    return this.#tensor(name).shape;
  }

  /** Reads a float tensor, which must have this shape. */
  floats(name: string, shape: readonly number[]): Floats {
    const { dtype, shape: actual, data } = this.#tensor(name);
    if (dtype !== "F32" && dtype !== "F64") {
      refuse(
        `tensor ${name} is ${dtype}, not F32 or F64`,
      );
    }
    if (actual.join() !== shape.join()) {
      refuse(
        `tensor ${name} has shape [${actual}], not [${shape}]`,
      );
    }
    this.#read.add(`tensor ${name}`);
    const inDouble = this.#metadata["computed"] === "float64";
    const precision = inDouble ? "rounded" : "float32";
    return {
      name,
      precision: dtype === "F64" ? "float64" : precision,
      values: data,
    };
  }

  /** Compares those of these numbers that are recorded, as one quantity. */
  compare(
    report: Report,
    { quantity, computed, tolerance }: {
      readonly quantity: string;
      readonly computed: readonly Computed[];
      readonly tolerance: (precision: Precision) => Tolerance;
    },
  ): void {
    const pairs: Pair[] = [];
    let allowed: Tolerance | undefined;
    for (const { name, shape, values, only } of computed) {
      if (!this.has(name)) continue;
      const { precision, values: recorded } = this.floats(name, shape);
      allowed ??= tolerance(precision);
      pairs.push({ name, recorded, computed: values, only });
    }
    if (allowed !== undefined) report.compare(quantity, pairs, allowed);
  }

  /** Reads an integer tensor with this many dimensions and each number in [0, end). */
  ids(name: string, dimensions: number, end: number): Ids {
    const { dtype, shape, data } = this.#tensor(name);
    if (dtype !== "I32" || shape.length !== dimensions || data.length === 0) {
      refuse(
        `tensor ${name} is ${dtype} [${shape}], not I32 of ${dimensions} dimensions`,
      );
    }
    const outside = data.find((id) => id < 0 || id >= end);
    if (outside !== undefined) {
      refuse(
        `tensor ${name} holds ${outside}, which is not from 0 to ${end - 1}`,
      );
    }
    this.#read.add(`tensor ${name}`);
    return { shape, data };
  }

  #tensor(name: string): TensorData {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) {
      refuse(`tensor ${name} is missing`);
    }
    return tensor;
  }

  /** Returns metadata as text. */
  text(key: string): string | undefined {
    this.#read.add(`metadata ${key}`);
    return this.#metadata[key];
  }

  /** Parses metadata as JSON and passes it through a reader, whose errors name the key. */
  json<Value>(key: string, read: (value: unknown) => Value): Value {
    const text = this.text(key);
    if (text === undefined) {
      refuse(`metadata ${key} is missing`);
    }
    try {
      return read(JSON.parse(text));
    } catch (error) {
      refuse(
        `metadata ${key}: ${reasonGiven(error)}`,
      );
    }
  }
}
