/**
 * A recorded run: the tensors and facts of one file, and a ledger of which of
 * them have been looked at. What the names mean is for the checks beside this file.
 */

import {
  decodeSafetensors,
  type TensorData,
} from "../../lib/formats/safetensors.ts";
import { Fields } from "./fields.ts";
import { NotUnderstoodError } from "./not_understood.ts";

/** With how many digits a quantity was computed and kept. */
export type Precision =
  /** Computed in float32. */
  | "float32"
  /** Computed in float64, rounded to float32 for the file. */
  | "rounded"
  /** Computed in float64, kept as decimal text. */
  | "float64";

/** One record of a quantity. */
export interface Source {
  /** As the file calls it. */
  readonly name: string;
  readonly precision: Precision;
  readonly values: ArrayLike<number>;
}

/** Integers with their shape. */
export interface Ids {
  readonly shape: readonly number[];
  readonly data: Int32Array;
}

/** Facts that say how a recording was made; there is nothing to compare them with. */
const descriptions = new Set([
  "case",
  "model",
  "init",
  "source",
  "changed",
  "measured",
  "rows",
  "vocab",
  "max_abs_cache_vs_full",
]);

/** Facts that only matter where quantities depend on them. */
const conditions = new Set([
  "optimizer",
  "zero_grad_by_symmetry",
  "cache_layout",
  "new_tokens",
]);

/** One file's content. Everything that is asked for counts as checked. */
export class Recording {
  readonly #tensors: ReadonlyMap<string, TensorData>;
  readonly #metadata: Readonly<Record<string, string>>;
  readonly #seen = new Set<string>();
  readonly #known = new Set<string>();

  /** @throws {NotUnderstoodError} if the bytes are no safetensors file with only F32 and I32 */
  constructor(bytes: Uint8Array) {
    try {
      ({ tensors: this.#tensors, metadata: this.#metadata } = decodeSafetensors(
        bytes,
      ));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw new NotUnderstoodError(error.message);
    }
    for (const [name, { dtype }] of this.#tensors) {
      if (dtype !== "F32" && dtype !== "I32") {
        throw new NotUnderstoodError(
          `tensor ${name} is ${dtype}, and only F32 and I32 are known`,
        );
      }
    }
  }

  /** The number of tensors. */
  get size(): number {
    return this.#tensors.size;
  }

  /** Names of the tensors nobody has asked for. */
  get unseen(): string[] {
    return [...this.#tensors.keys()].filter((name) => !this.#seen.has(name));
  }

  /** Metadata that nothing was compared with, and why. */
  get uncompared(): { readonly key: string; readonly reason: string }[] {
    return Object.keys(this.#metadata).filter((key) => !this.#known.has(key))
      .map((key) => ({
        key,
        reason: descriptions.has(key)
          ? "says how it was recorded"
          : conditions.has(key)
          ? "nothing that is recorded depends on it"
          : "not a fact that this checker knows",
      }));
  }

  /** All tensor names that a pattern matches, in the file's order, with their matches. */
  matching(pattern: RegExp): RegExpExecArray[] {
    return [...this.#tensors.keys()].map((name) => pattern.exec(name))
      .filter((match) => match !== null);
  }

  /** Whether there is a tensor of this name. */
  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** The shape of a tensor. */
  shape(name: string): readonly number[] {
    return this.#tensor(name).shape;
  }

  /** A float tensor, which must have this shape. */
  floats(name: string, shape: readonly number[]): Float32Array {
    const tensor = this.#tensor(name);
    if (tensor.dtype !== "F32") {
      throw new NotUnderstoodError(
        `tensor ${name} is ${tensor.dtype}, not F32`,
      );
    }
    if (tensor.shape.join() !== shape.join()) {
      throw new NotUnderstoodError(
        `tensor ${name} has shape [${tensor.shape}], not [${shape}]`,
      );
    }
    this.#seen.add(name);
    return tensor.data;
  }

  /** An integer tensor with this many dimensions; each number from 0 to below `end`. */
  ids(name: string, dimensions: number, end: number): Ids {
    const { dtype, shape, data } = this.#tensor(name);
    if (dtype !== "I32" || shape.length !== dimensions) {
      throw new NotUnderstoodError(
        `tensor ${name} is ${dtype} [${shape}], not I32 of ${dimensions} dimensions`,
      );
    }
    if (data.length === 0) {
      throw new NotUnderstoodError(`tensor ${name} is empty: [${shape}]`);
    }
    const outside = data.find((id) => id < 0 || id >= end);
    if (outside !== undefined) {
      throw new NotUnderstoodError(
        `tensor ${name} holds ${outside}, which is not from 0 to ${end - 1}`,
      );
    }
    this.#seen.add(name);
    return { shape, data };
  }

  #tensor(name: string): TensorData {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) {
      throw new NotUnderstoodError(`tensor ${name} is missing`);
    }
    return tensor;
  }

  /** Whether anything records this quantity. */
  records(quantity: string): boolean {
    return [quantity, `ref64.${quantity}`].some((name) =>
      this.#tensors.has(name) || name in this.#metadata
    );
  }

  /**
   * Every record of a quantity: tensor and metadata, float32 and float64.
   *
   * @param shape what the tensors must have; metadata must be as many numbers
   */
  sources(quantity: string, shape: readonly number[]): Source[] {
    const sources: Source[] = [];
    for (const name of [quantity, `ref64.${quantity}`]) {
      const double = name !== quantity;
      if (this.#tensors.has(name)) {
        const precision = double ? "rounded" : "float32";
        sources.push({ name, precision, values: this.floats(name, shape) });
      }
      if (name in this.#metadata) {
        const precision = double ? "float64" : "float32";
        const values = this.#numbers(name, shape);
        sources.push({ name: `${name} (metadata)`, precision, values });
      }
    }
    return sources;
  }

  /** How many numbers the records of a list hold; 0 if there are none. */
  lengthOf(quantity: string): number {
    for (const name of [quantity, `ref64.${quantity}`]) {
      if (this.#tensors.has(name)) return this.shape(name)[0] ?? 0;
      if (name in this.#metadata) return [this.#parse(name)].flat().length;
    }
    return 0;
  }

  #numbers(key: string, shape: readonly number[]): number[] {
    const values = [this.#parse(key)].flat();
    const count = shape.reduce((product, length) => product * length, 1);
    if (
      values.length !== count ||
      !values.every((value) => typeof value === "number")
    ) {
      throw new NotUnderstoodError(
        `metadata ${key} is not ${count} number${count === 1 ? "" : "s"}`,
      );
    }
    return values as number[];
  }

  /** A fact as text. */
  text(key: string): string | undefined {
    this.#known.add(key);
    return this.#metadata[key];
  }

  /** A fact that must be one of these sentences where it is told. */
  expectText(key: string, ...sentences: readonly string[]): void {
    const text = this.text(key);
    if (text !== undefined && !sentences.includes(text)) {
      throw new NotUnderstoodError(
        `metadata ${key} is ${JSON.stringify(text)}, known is only ${
          sentences.map((sentence) => JSON.stringify(sentence)).join(", ")
        }`,
      );
    }
  }

  /** A fact as JSON; undefined if it is not told. */
  json(key: string): unknown {
    return key in this.#metadata ? this.#parse(key) : undefined;
  }

  /** A fact that is a JSON object. */
  fields(key: string): Fields {
    const value = this.json(key);
    if (value === undefined) {
      throw new NotUnderstoodError(`metadata ${key} is missing`);
    }
    return new Fields(key, value);
  }

  #parse(key: string): unknown {
    this.#known.add(key);
    try {
      return JSON.parse(this.#metadata[key]!);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw new NotUnderstoodError(`metadata ${key} is not JSON`);
    }
  }
}
