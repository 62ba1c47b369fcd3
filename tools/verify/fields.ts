/** Reads a JSON object strictly: every key must be asked for, every value must be of a known kind. */

import { NotUnderstoodError } from "./not_understood.ts";

/** The fields of one JSON object, each with the name of the whole for messages. */
export class Fields {
  readonly #of: string;
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #asked = new Set<string>();

  /** @throws {NotUnderstoodError} if the value is not an object */
  constructor(of: string, value: unknown) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new NotUnderstoodError(`${of} is not a JSON object`);
    }
    this.#of = of;
    this.#values = new Map(Object.entries(value));
  }

  /** A field as it stands; undefined if there is none. */
  value(key: string): unknown {
    this.#asked.add(key);
    return this.#values.get(key);
  }

  /** A field that must be there unless a default is given. */
  #required<Value>(key: string, otherwise: Value | undefined): unknown {
    const value = this.value(key);
    if (value !== undefined) return value;
    if (otherwise === undefined) {
      throw new NotUnderstoodError(`${this.#of}.${key} is missing`);
    }
    return otherwise;
  }

  /** Whether a field says that there is no such thing, by null. */
  isNull(key: string): boolean {
    return this.value(key) === null;
  }

  /** A finite number. */
  number(key: string, otherwise?: number): number {
    const value = this.#required(key, otherwise);
    if (typeof value !== "number" || !Number.isFinite(value)) {
      throw this.refusal(key, "a number");
    }
    return value;
  }

  /** An integer of at least 1. */
  count(key: string, otherwise?: number): number {
    const value = this.number(key, otherwise);
    if (!Number.isInteger(value) || value < 1) {
      throw this.refusal(key, "an integer of at least 1");
    }
    return value;
  }

  /** True or false. */
  flag(key: string, otherwise?: boolean): boolean {
    const value = this.#required(key, otherwise);
    if (typeof value !== "boolean") throw this.refusal(key, "true or false");
    return value;
  }

  /** One of the words of a table, translated. */
  word<Meaning>(
    key: string,
    meanings: Readonly<Record<string, Meaning>>,
    otherwise?: string,
  ): Meaning {
    const value = this.#required(key, otherwise);
    if (typeof value !== "string" || !Object.hasOwn(meanings, value)) {
      const words = Object.keys(meanings).map((word) => JSON.stringify(word));
      throw this.refusal(key, `one of ${words.join(", ")}`);
    }
    return meanings[value]!;
  }

  /** A string. */
  text(key: string): string {
    const value = this.#required(key, undefined);
    if (typeof value !== "string") throw this.refusal(key, "a string");
    return value;
  }

  /** A list whose members all pass a test. */
  list<Member>(
    key: string,
    isMember: (value: unknown) => value is Member,
    otherwise?: Member[],
  ): Member[] {
    const value = this.#required(key, otherwise);
    if (!Array.isArray(value) || !value.every(isMember)) {
      throw this.refusal(key, "a list of the right kind");
    }
    return value;
  }

  /** A number that can only be this one here, because the implementation knows no other. */
  fixed(key: string, only: number): void {
    const value = this.value(key);
    if (value !== undefined && value !== only) throw this.refusal(key, only);
  }

  /** Why a field's value cannot be used. */
  refusal(key: string, expected: string | number): NotUnderstoodError {
    const value = JSON.stringify(this.#values.get(key));
    return new NotUnderstoodError(
      `${this.#of}.${key} is ${value}, not ${expected}`,
    );
  }

  /** @throws {NotUnderstoodError} if there is a field that nobody has asked for */
  finish(): void {
    const unknown = [...this.#values.keys()].filter((key) =>
      !this.#asked.has(key)
    );
    if (unknown.length > 0) {
      throw new NotUnderstoodError(
        `${this.#of}.${unknown[0]} is not a field that is known`,
      );
    }
  }
}

/** Whether a value is a string. */
export function isString(value: unknown): value is string {
  return typeof value === "string";
}

/** Whether a value is an integer from 0. */
export function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
