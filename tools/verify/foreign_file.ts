/** Reads a file in the older format (tools/record/README.md), and writes the converted recordings. */

import type { Safetensors, TensorData } from "../../lib/formats/safetensors.ts";
import { NotUnderstoodError } from "./recording.ts";

/** Arrays by name. */
export type Tensors = Map<string, TensorData>;

/**
 * Makes a recording of a kind, with metadata as JSON.
 *
 * @param options.source the prefix of its quantities in the report
 */
export function recordingOf(
  kind: string,
  { computed, source }: { computed: "float32" | "float64"; source: string },
  tensors: Tensors,
  metadata: Readonly<Record<string, unknown>> = {},
): Safetensors {
  const texts = Object.entries(metadata)
    .map(([key, value]) => [key, JSON.stringify(value)]);
  const head = { format: "lm recording", version: "1", kind, computed, source };
  return { tensors, metadata: { ...head, ...Object.fromEntries(texts) } };
}

/** A file in the older format, and which tensors and metadata have been taken from it. */
export class Source {
  /** Tensors that have not been taken. */
  readonly rest: Tensors;
  readonly #metadata: Readonly<Record<string, string>>;
  readonly #read = new Set<string>();

  constructor({ tensors, metadata }: Safetensors) {
    this.rest = new Map(tensors);
    this.#metadata = metadata;
  }

  /** All metadata's names. */
  get keys(): string[] {
    return Object.keys(this.#metadata);
  }

  /** Metadata that nothing has read. */
  get unread(): string[] {
    return this.keys.filter((key) => !this.#read.has(key));
  }

  /** Takes those of these tensors that exist, under these names. */
  take(
    names: Iterable<string | readonly [theirs: string, ours: string]>,
  ): Tensors {
    const taken: Tensors = new Map();
    for (const name of names) {
      const [theirs, ours] = typeof name === "string" ? [name, name] : name;
      const tensor = this.rest.get(theirs);
      if (tensor !== undefined) taken.set(ours, tensor);
      this.rest.delete(theirs);
    }
    return taken;
  }

  /** Returns metadata as text. */
  text(key: string): string | undefined {
    this.#read.add(key);
    return this.#metadata[key];
  }

  /** Returns metadata as JSON; undefined if it is absent. */
  json(key: string): unknown {
    const text = this.text(key);
    try {
      return text && JSON.parse(text);
    } catch {
      throw new NotUnderstoodError(`metadata ${key} is not JSON`);
    }
  }

  /** Returns the fields of metadata that is a JSON object. */
  fields(key: string): Fields {
    return new Fields(key, this.json(key));
  }

  /** Throws an error if metadata exists and has another text. */
  expect(key: string, text: string): void {
    const actual = this.text(key) ?? text;
    if (actual !== text) {
      throw new NotUnderstoodError(
        `metadata ${key} is ${JSON.stringify(actual)}, known is only "${text}"`,
      );
    }
  }
}

/** The fields of a JSON object, each of which must be taken. */
export class Fields {
  /** Fields that have not been taken. */
  readonly rest: Map<string, unknown>;
  readonly #of: string;

  constructor(of: string, value: unknown) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new NotUnderstoodError(`metadata ${of} is not a JSON object`);
    }
    this.#of = of;
    this.rest = new Map(Object.entries(value));
  }

  /** Takes a field; returns the default if it is absent. */
  take(key: string, otherwise?: unknown): unknown {
    const value = this.rest.get(key) ?? otherwise;
    this.rest.delete(key);
    return value;
  }

  /** Takes a field that must be one of these. */
  expect<Value>(
    key: string,
    values: readonly Value[],
    otherwise?: Value,
  ): Value {
    const value = this.take(key, otherwise) as Value;
    if (values.includes(value)) return value;
    throw new NotUnderstoodError(
      `${this.#of}.${key} is ${JSON.stringify(value)}, not ${
        values.join(", ")
      }`,
    );
  }

  /** Refuses fields that have not been taken. */
  finish(): void {
    const [key] = this.rest.keys();
    if (key === undefined) return;
    throw new NotUnderstoodError(`${this.#of}.${key} is not a known field`);
  }
}

/** Returns true if a value is a list of names. */
export function isNames(value: unknown): value is string[] {
  return Array.isArray(value) &&
    value.every((name) => typeof name === "string");
}
