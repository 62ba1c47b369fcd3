/** Fields of other programs' configurations. */

import { cannotImport } from "./imported.ts";
import { clip, quote } from "./safetensors_header.ts";

/** Reads fields by name and type; a value that a model cannot have is refused by the field's name. */
export class ConfigFields {
  readonly notes: string[] = [];
  readonly #fields: Readonly<Record<string, unknown>>;
  /** The text before a field's name in messages. */
  readonly #prefix: string;

  constructor(fields: Readonly<Record<string, unknown>>, prefix: string) {
    this.#fields = fields;
    this.#prefix = prefix;
  }

  #value(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
  }

  has(name: string): boolean {
    return (this.#value(name) ?? undefined) !== undefined;
  }

  object(name: string): ConfigFields {
    const value = this.#value(name);
    if (typeof value === "object" && value !== null) {
      return new ConfigFields(
        value as Readonly<Record<string, unknown>>,
        `${this.#prefix}${name}.`,
      );
    }
    throw this.#wrong(name, "not an object");
  }

  /** Refuses a field with another value than those given; undefined stands for a field that is not there. */
  only(name: string, values: readonly unknown[]): void {
    const value = this.#value(name);
    if (!values.includes(value)) throw this.#refused(name, value, values);
  }

  word<Word extends string>(
    name: string,
    words: readonly Word[],
    usual?: Word,
  ): Word {
    const value = this.#value(name) ?? usual;
    const word = words.find((word) => word === value);
    if (word === undefined) throw this.#refused(name, value, words);
    return word;
  }

  /** Refuses a list with another value than one, if there is a list. */
  all(name: string, value: string): void {
    const list = this.#value(name) ?? [];
    const other = Array.isArray(list)
      ? list.find((one) => one !== value)
      : list;
    if (other !== undefined) throw this.#refused(name, other, [value]);
  }

  flag(name: string, usual: boolean): boolean {
    const value = this.#value(name) ?? usual;
    if (typeof value === "boolean") return value;
    throw this.#refused(name, value, [true, false]);
  }

  integer(name: string, usual?: number): number {
    const value = this.number(name, usual);
    if (Number.isSafeInteger(value)) return value;
    throw this.#wrong(name, "not an integer");
  }

  number(name: string, usual?: number): number {
    const value = this.#value(name) ?? usual;
    if (typeof value === "number") return value;
    throw this.#wrong(name, "not a number");
  }

  /** Returns a dropout rate that several fields agree on; 0, with a note, if they differ. */
  dropout(...names: string[]): number {
    const rates = names.map((name) => this.#value(name) ?? 0);
    const [rate] = rates;
    const isWhole = names.length > 1 && rates.every((other) => other === rate);
    if (isWhole && typeof rate === "number") return rate;
    if (rates.every((rate) => rate === 0)) return 0;
    const given = names.map((name, i) => `${name} ${shown(rates[i])}`);
    this.notes.push(`left out, as dropout has one rate: ${given.join(", ")}`);
    return 0;
  }

  #refused(name: string, value: unknown, values: readonly unknown[]) {
    const known = values.filter((value) => value !== undefined).map(shown);
    return this.#wrong(
      name,
      `and this program knows only ${known.join(" or ")}`,
      value,
    );
  }

  #wrong(name: string, reason: string, value = this.#value(name)) {
    return cannotImport(
      `${this.#prefix}${name} is ${
        value === undefined ? "missing" : shown(value)
      }, ${reason}`,
    );
  }
}

function shown(value: unknown): string {
  return typeof value === "string"
    ? quote(value)
    : typeof value === "object" && value !== null
    ? "an object"
    : clip(String(value));
}
