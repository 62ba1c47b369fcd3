/** What a configuration field is: its type, its limits, its default and one line of help, from which checks and flags are made. */

/** One field of a configuration. */
export interface Field<Value = unknown> {
  /** What the field holds. */
  readonly type: "integer" | "number" | "number or off" | "boolean" | "choice";
  /** One line about it. */
  readonly help: string;
  /** Its value if none is given; undefined where it has to be given or depends on other fields. */
  readonly usual: Value | undefined;
  /** The limits of a number. */
  readonly range?: Range;
  /** The words of a choice. */
  readonly choices?: readonly Value[];
  /** What other programs call it, as flags. */
  readonly synonyms: readonly string[];
}

/** Limits of a number, each of them included unless it says otherwise. */
export interface Range {
  readonly least?: number;
  readonly most?: number;
  /** What it has to be above. */
  readonly above?: number;
  /** What it has to be below. */
  readonly below?: number;
  /** Whether it has to be an integer. */
  readonly whole?: boolean;
}

/** A size of a model. */
export const size: Range = { least: 1, most: 2 ** 24, whole: true };
/** A count of at least one. */
export const count: Range = { least: 1, most: 2 ** 31, whole: true };
/** A count of steps, or 0. */
export const interval: Range = { least: 0, most: 2 ** 31, whole: true };
/** A share or a decay: in [0, 1). */
export const share: Range = { least: 0, below: 1 };
/** A number that is not negative. */
export const rate: Range = { least: 0 };

/** A field with an integer. */
export function integer(
  range: Range,
  usual: number | undefined,
  help: string,
  synonyms: readonly string[] = [],
): Field<number> {
  return { ...number(range, usual, help, synonyms), type: "integer" };
}

/** A field with a number. */
export function number(
  range: Range,
  usual: number | undefined,
  help: string,
  synonyms: readonly string[] = [],
): Field<number> {
  return { type: "number", range, usual, help, synonyms };
}

/** A field with a number or `null`, its default, which means off. */
export function numberOrOff(
  range: Range,
  help: string,
  synonyms: readonly string[] = [],
): Field<number | null> {
  return { type: "number or off", range, usual: null, help, synonyms };
}

/** A field that is true or false. */
export function toggle(
  usual: boolean | undefined,
  help: string,
): Field<boolean> {
  return { type: "boolean", usual, help, synonyms: [] };
}

/** A field with one of a few words, the first of which is its default. */
export function choice<Word extends string>(
  choices: readonly Word[],
  help: string,
): Field<Word> {
  const [usual] = choices;
  return { type: "choice", choices, usual, help, synonyms: [] };
}

/** The fields of a configuration, in the order of the object; one that is missing does not compile. */
export function fieldsOf<Config>(
  fields: { readonly [Name in keyof Config]-?: Field<Config[Name]> },
): ReadonlyMap<keyof Config & string, Field> {
  return new Map(
    Object.entries<Field>(fields) as [keyof Config & string, Field][],
  );
}

/**
 * Returns a configuration: the options that are given, and the defaults of the others.
 *
 * @throws {RangeError} naming the field and its limits, if a value is none that the field takes
 */
export function complete<Config>(
  what: string,
  fields: ReadonlyMap<keyof Config & string, Field>,
  options: { readonly [Name in keyof Config]?: Config[Name] | undefined },
): Config {
  const refuse = (reason: string) =>
    new RangeError(`Cannot create ${what}: ${reason}`);
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
    if (reason !== undefined) throw refuse(reason);
  }
  return config as Config;
}

/** Why a field does not take a value; undefined if it does. */
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

/** Whether a value is a finite number in a range. */
export function isWithin(value: unknown, range: Range): boolean {
  const { least = -Infinity, most = Infinity } = range;
  const { above = -Infinity, below = Infinity, whole = false } = range;
  return typeof value === "number" && Number.isFinite(value) &&
    value >= least && value <= most && value > above && value < below &&
    (!whole || Number.isSafeInteger(value));
}

/** Names what a range takes, as `an integer from 1 to 1024`. */
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
