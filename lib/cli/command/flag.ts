/** Types of flags, and functions that parse their values. The flags themselves are in the folders' `flags.ts` and in `field_flags.ts`. */

import { isWithin, type Range, rangeName } from "../../range.ts";
import { nearest } from "./nearest.ts";

/** One flag of a command. */
export interface Flag<Value> {
  /** One line about it. */
  readonly help: string;
  /** The placeholder of its value in help; absent for a switch. */
  readonly value?: string;
  /** The default, as help shows it. */
  readonly without?: string;
  /** True if `--no-NAME` sets the switch to false. */
  readonly negatable?: boolean;
  /** Other names that mean the same; one letter is a short form. */
  readonly aliases?: readonly string[];
  /** The range of its number. */
  readonly range?: Range;
  /** The words that it takes, if it takes nothing else. */
  readonly words?: readonly string[];
  /** The values that may follow the flag; without a value, the flag means the first of them. */
  readonly optional?: readonly string[];
  /**
   * Parses all the texts given, at least one; those of a switch are `true` and `false`.
   *
   * @throws {ValueError} if the flag does not accept a text
   */
  read(texts: readonly string[]): Value;
}

/** An error about a flag's text, as in `is not an integer`. */
export class ValueError extends RangeError {
  /** The text, unless it is the last one given. */
  readonly text: string | undefined;
  readonly hint: string | undefined;

  constructor(
    complaint: string,
    { text, hint }: {
      readonly text?: string;
      readonly hint?: string | undefined;
    } = {},
  ) {
    super(complaint);
    this.text = text;
    this.hint = hint;
  }
}

/** The flags that give an object of these values. */
export type FlagsOf<Values> = {
  readonly [Key in keyof Values]-?: Flag<Exclude<Values[Key], undefined>>;
};

/** Flags by their fields, under the titles that help puts over them. */
export type FlagTable = Readonly<
  Record<string, Readonly<Record<string, Flag<unknown>>>>
>;

/** The values of all flags of a table. */
export type ValuesOf<Table extends FlagTable> = {
  [Key in KeyOf<Table[keyof Table]>]: ValueOf<Table[keyof Table], Key>;
};
type KeyOf<Group> = Group extends unknown ? keyof Group : never;
type ValueOf<Group, Key extends PropertyKey> = Group extends
  Readonly<Record<Key, Flag<infer Value>>> ? Value : never;

/** Help on a flag. */
export type FlagText = Pick<Flag<unknown>, "help" | "without" | "aliases">;

/** Fields whose flag is not their name. */
const otherNames: Readonly<Record<string, string>> = {
  maxSteps: "steps",
  init: "initial-values",
  initFrom: "init",
};

/** Returns the flag of a field, without its dashes: `nEmbd` is `n-embd`. */
export function flagName(field: string): string {
  return otherNames[field] ??
    field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Makes a switch; a `negatable` one also has the form `--no-NAME`. */
export function toggle(
  help: string,
  options: Pick<Flag<boolean>, "without" | "aliases" | "negatable"> = {},
): Flag<boolean> {
  return { ...options, help, read: (texts) => texts.at(-1) !== "false" };
}

/** Any count of things. */
export const atLeastOne: Range = { least: 1 };
/** Threads, or processes. */
export const cores: Range = { least: 1, most: 256 };

/** Returns a flag with any text. */
export function text(value: string, text: FlagText): Flag<string> {
  return { ...text, value, read: (texts) => texts.at(-1)! };
}

/** Returns a flag that may be given several times, with any text each time. */
export function texts(value: string, text: FlagText): Flag<readonly string[]> {
  return { ...text, value, read: (texts) => texts };
}

/** Makes `--data`, the same for every command that reads a text. */
export function dataFlag(without: string): Flag<readonly string[]> {
  return texts("TEXT", {
    help:
      "tinyshakespeare, moby-dick, names, a file of UTF-8 text, a .jsonl file or a folder of .txt and .md files, which are documents, or - for standard input; several are joined in order",
    without,
  });
}

/** Returns a flag with one of a few words. */
export function choice<Word extends string>(
  words: readonly Word[],
  text: FlagText,
): Flag<Word> {
  const read = ([...texts]: readonly string[]) => {
    const given = texts.at(-1)!;
    const word = words.find((word) => word === given);
    if (word !== undefined) return word;
    const near = nearest(given, words);
    throw new ValueError(`is none of ${words.join(", ")}`, {
      hint: near && `did you mean ${near}?`,
    });
  };
  return { ...text, value: words.join("|"), words, read };
}

/** Makes a flag with one of a few words; without a value, it means the first of them. */
export function optionalChoice<Word extends string>(
  words: readonly Word[],
  text: FlagText,
): Flag<Word> {
  return {
    ...choice(words, text),
    value: `[${words.join("|")}]`,
    optional: words,
  };
}

/** Returns a flag with an integer. */
export function integer(text: FlagText, limits: Range): Flag<number> {
  return { ...number(text, { ...limits, whole: true }), value: "N" };
}

/** Returns a flag with a number. */
export function number(text: FlagText, range: Range): Flag<number> {
  const read = (texts: readonly string[]) => toNumber(texts.at(-1)!, range);
  return { ...text, value: "X", range, read };
}

/** Returns a flag with a number or the word `off`. */
export function numberOrOff(
  text: FlagText,
  range: Range,
): Flag<number | null> {
  const read = (texts: readonly string[]) =>
    texts.at(-1) === "off" ? null : toNumber(texts.at(-1)!, range, " or off");
  return { ...text, value: range.whole ? "N|off" : "X|off", range, read };
}

/** Returns a flag that may be given several times, each time with a number or one of a few words. */
export function numbersOrWords<Word extends string>(
  value: string,
  words: readonly Word[],
  text: FlagText,
  range: Range,
): Flag<readonly (number | Word)[]> {
  const read = (texts: readonly string[]) =>
    texts.map((given) =>
      words.find((word) => word === given) ??
        toNumber(given, range, ` or one of ${words.join(", ")}`)
    );
  return { ...text, value, words, range, read };
}

/** Makes a flag with a count; 0 and the word `all` mean no limit, and both are read as 0. */
export function countOrAll(text: FlagText): Flag<number> {
  const range: Range = { least: 0, whole: true };
  const read = (texts: readonly string[]) =>
    texts.at(-1) === "all" ? 0 : toNumber(texts.at(-1)!, range, " or all");
  return { ...text, value: "N|all", range, read };
}

/** Returns a flag with a span of time, in seconds: `90`, `90s`, `10m`, `1h30m`, or the word `off`. */
export function spanOrOff(text: FlagText): Flag<number | null> {
  const complaint = "is not a time above 0 such as 90s, 10m or 1h30m";
  const read = ([...texts]: readonly string[]) => {
    if (texts.at(-1) === "off") return null;
    const [, hours, minutes, seconds] =
      /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?$/.exec(texts.at(-1)!) ?? [];
    const total = 3600 * Number(hours ?? 0) + 60 * Number(minutes ?? 0) +
      Number(seconds ?? 0);
    if (!(total > 0 && Number.isSafeInteger(total))) {
      throw new ValueError(complaint);
    }
    return total;
  };
  return { ...text, value: "TIME|off", read };
}

function toNumber(text: string, range: Range, or = ""): number {
  // Number() also takes "", " 1 " and "0x10".
  const isNumber = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text);
  if (isNumber && isWithin(Number(text), range)) return Number(text);
  throw new ValueError(`is not ${rangeName(range)}${or}`, { text });
}
