/** Takes parts from a file in the older format (tools/record/README.md), and writes the converted recordings. */

import type { Safetensors, TensorData } from "../../lib/formats/safetensors.ts";
import { refuse } from "./recording.ts";

/** Arrays by name. */
export type Tensors = Map<string, TensorData>;

/** The fields of a JSON object. */
export type Fields = Readonly<Record<string, unknown>>;

/** A file in the older format. What the converter takes from it is gone. */
export class OlderFile {
  readonly tensors: Tensors;
  readonly metadata: Map<string, string>;

  constructor({ tensors, metadata }: Safetensors) {
    this.tensors = new Map(tensors);
    this.metadata = new Map(Object.entries(metadata));
  }

  /** Takes a tensor; undefined if it is absent. */
  take(name: string): TensorData | undefined {
    const tensor = this.tensors.get(name);
    this.tensors.delete(name);
    return tensor;
  }

  /** Takes the tensors whose names match, under what `rename` makes of them. */
  takeAll(
    names: RegExp,
    rename: (name: string) => string = (name) => name,
  ): Tensors {
    const found = [...this.tensors.keys()].filter((name) => names.test(name));
    return new Map(found.map((name) => [rename(name), this.take(name)!]));
  }

  /** Takes metadata; `otherwise` if it is absent. */
  text(key: string, otherwise = ""): string {
    const text = this.metadata.get(key) ?? otherwise;
    this.metadata.delete(key);
    return text;
  }

  /** Takes metadata that is JSON; undefined if it is absent. */
  json(key: string): unknown {
    const text = this.text(key);
    try {
      return text === "" ? undefined : JSON.parse(text);
    } catch {
      refuse(`metadata ${key} is not JSON`);
    }
  }

  /** Takes metadata that is a JSON object. */
  fields(key: string): Fields {
    const value = this.json(key);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Fields;
    }
    refuse(`metadata ${key} is not a JSON object`);
  }
}

/** Refuses a value that is not one of the known ones. */
export function expect<Value>(
  name: string,
  value: unknown,
  ...known: readonly Value[]
): Value {
  if (known.includes(value as Value)) return value as Value;
  refuse(
    `${name} is ${JSON.stringify(value)}, not ${
      known.map((value) => JSON.stringify(value)).join(", ")
    }`,
  );
}

/** Refuses fields that are not known. */
export function refuseOthers(name: string, others: Fields): void {
  const [key] = Object.keys(others);
  if (key !== undefined) refuse(`${name}.${key} is not a known field`);
}

/** Makes a recording, with metadata as JSON; `source` begins the names of its quantities in the report. */
export function recordingOf(
  kind: string,
  { computed, source }: { computed: "float32" | "float64"; source: string },
  tensors: Tensors,
  metadata: Fields = {},
): Safetensors {
  const texts = Object.entries(metadata)
    .map(([key, value]) => [key, JSON.stringify(value)]);
  const head = { format: "lm recording", version: "1", kind, computed, source };
  return { tensors, metadata: { ...head, ...Object.fromEntries(texts) } };
}
