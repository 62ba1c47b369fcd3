/** Configuration fields: the type, limits, default and one-line help that validation and command-line flags derive from. */

import { isWithin, type Range, rangeName } from "../range.ts";
import { refusal } from "../refusal.ts";

/** One field of a configuration. */
export interface Field<Value = unknown> {
  /** Kind of value. */
  readonly type: "integer" | "number" | "number or off" | "boolean" | "choice";
  /** One-line description. */
  readonly help: string;
  /** Default value; undefined if the field is required or its default depends on other fields. */
  readonly usual: Value | undefined;
  /** Limits of a number. */
  readonly range?: Range;
  /** Allowed values of a choice. */
  readonly choices?: readonly Value[];
  /** Flag names that other programs use for the field. */
  readonly synonyms: readonly string[];
}

/** Range of a model dimension. */
export const size: Range = { least: 1, most: 2 ** 24, whole: true };
/** Range of a count that is at least 1. */
export const count: Range = { least: 1, most: 2 ** 31, whole: true };
/** Range of a number of steps, 0 included. */
export const interval: Range = { least: 0, most: 2 ** 31, whole: true };
/** Range of a fraction or decay: [0, 1). */
export const share: Range = { least: 0, below: 1 };
/** Range of a non-negative number. */
export const rate: Range = { least: 0 };

/** Returns an integer field. */
export function integer(
  range: Range,
  usual: number | undefined,
  help: string,
  synonyms: readonly string[] = [],
): Field<number> {
  return { ...number(range, usual, help, synonyms), type: "integer" };
}

/** Returns a number field. */
export function number(
  range: Range,
  usual: number | undefined,
  help: string,
  synonyms: readonly string[] = [],
): Field<number> {
  return { type: "number", range, usual, help, synonyms };
}

/** Returns a field that holds a number or `null`. `null` means off and is the default. */
export function numberOrOff(
  range: Range,
  help: string,
  synonyms: readonly string[] = [],
): Field<number | null> {
  return { type: "number or off", range, usual: null, help, synonyms };
}

/** Returns a boolean field. */
export function toggle(
  usual: boolean | undefined,
  help: string,
): Field<boolean> {
  return { type: "boolean", usual, help, synonyms: [] };
}

/** Returns a field that takes one of the given words; the first word is the default. */
export function choice<Word extends string>(
  choices: readonly Word[],
  help: string,
): Field<Word> {
  const [usual] = choices;
  return { type: "choice", choices, usual, help, synonyms: [] };
}

/** Returns the fields of a configuration as a map, in the object's order. A missing field is a compile-time error. */
export function fieldsOf<Config>(
  fields: { readonly [Name in keyof Config]-?: Field<Config[Name]> },
): ReadonlyMap<keyof Config & string, Field> {
  return new Map(
    Object.entries<Field>(fields) as [keyof Config & string, Field][],
  );
}

/**
 * Returns a complete configuration: the given options, and defaults for the rest.
 *
 * @throws {RangeError} if a field does not accept its value; the message names the field and its limits
 */
export function complete<Config>(
  what: string,
  fields: ReadonlyMap<keyof Config & string, Field>,
  options: { readonly [Name in keyof Config]?: Config[Name] | undefined },
): Config {
  const refuse = (reason: string, fields: readonly string[] = []) =>
    refusal(RangeError, `create ${what}`, reason, { fields });
  const config: Record<string, unknown> = {};
  for (const [name, { usual }] of fields) config[name] = usual;
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!(name in config)) {
      throw refuse(`${name} is not a field of its configuration`);
    }
    config[name] = value;
  }
  for (const [name, field] of fields) {
    const reason = objection(name, field, config[name]);
    if (reason !== undefined) throw refuse(reason, [name]);
  }
  return config as Config;
}

/** Returns why a field rejects a value; undefined if the field accepts it. */
function objection(
  name: string,
  { type, range = {}, choices }: Field,
  value: unknown,
): string | undefined {
  switch (type) {
    case "choice":
      return choices!.includes(value)
        ? undefined
        : `${name} ("${value}") is none of ${choices!.join(", ")}`;
    case "boolean":
      return typeof value === "boolean"
        ? undefined
        : `${name} (${value}) is neither true nor false`;
    default:
      return isWithin(value, range) ||
          (type === "number or off" && value === null)
        ? undefined
        : `${name} (${value}) is not ${rangeName(range)}`;
  }
}
