/** Parses the words of a command line into typed values; an error about an unknown word suggests the nearest known one. */

import { type UsageError, usageError } from "./errors.ts";
import {
  type Flag,
  flagName,
  type FlagTable,
  ValueError,
  type ValuesOf,
} from "./flag.ts";
import { suggestion } from "./nearest.ts";
import { program } from "./program.ts";

/** The operand and flags that a command accepts. */
export interface Syntax<Table extends FlagTable = FlagTable> {
  /** The command's words, as in `lm NAME`. */
  readonly name: string;
  /** The argument without a dash; absent if the command takes none. */
  readonly operand?: Operand;
  readonly flags: Table;
}

/** An argument without a dash. */
export interface Operand {
  readonly name: string;
  /** A sentence or two about it. */
  readonly help: string;
  /** True if it may be given several times. */
  readonly several?: boolean;
  /** True if the command does nothing without it. */
  readonly required?: boolean;
}

/** Returns all flags of a command, by their fields. */
export function flagsOf(
  { flags }: Pick<Syntax, "flags">,
): Readonly<Record<string, Flag<unknown>>> {
  return Object.assign({}, ...Object.values(flags));
}

/** The parsed arguments of a command. */
export interface Arguments<Values> {
  /** The values of the flags that were given. */
  readonly flags: Partial<Values>;
  /** The argument without a dash, if it was given; the first of several. */
  readonly operand: string | undefined;
  /** All arguments without a dash. */
  readonly operands: readonly string[];
}

/**
 * Reads a command's arguments. `--name value` and `--name=value` are the same; a value may
 * begin with a dash (`-1`), with two only after `=`. The last of several values counts.
 *
 * @throws {UsageError} at the first invalid argument
 */
export function parseArguments<Table extends FlagTable>(
  args: readonly string[],
  syntax: Syntax<Table>,
): Arguments<ValuesOf<Table>> {
  const known = meanings(syntax);
  const given = new Map<string, string[]>();
  const operands: string[] = [];
  let unknown: string | undefined;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") {
      operands.push(...args.slice(i + 1));
      break;
    }
    if (!/^-./.test(arg)) {
      operands.push(arg);
      continue;
    }
    const [, word = "", letter = "", value] =
      /^(?:--([^=]+)|-([^=-]))(?:=([^]*))?$/.exec(arg) ?? [];
    const meaning = known.get((word + letter).replaceAll("_", "-"));
    if (meaning === undefined) {
      unknown ??= arg;
      continue;
    }
    const { key, flag, denied } = meaning;
    const texts = given.get(key) ?? [];
    given.set(key, texts);
    if (flag.value === undefined) {
      if (value !== undefined) {
        const name = `--${denied ? "no-" : ""}${flagName(key)}`;
        throw usageError(`give ${name} a value`, "it is a switch");
      }
      texts.push(String(!denied));
    } else if (value === undefined && flag.optional !== undefined) {
      const follows = flag.optional.includes(args[i + 1] ?? "");
      texts.push(follows ? args[++i]! : flag.optional[0]!);
    } else texts.push(value ?? valueAfter(args, i++, flag));
  }
  if (unknown !== undefined) throw unknownFlag(unknown, known, syntax.name);
  const flags: Record<string, unknown> = {};
  for (const [key, flag] of Object.entries(flagsOf(syntax))) {
    const texts = given.get(key);
    if (texts !== undefined) flags[key] = read(flag, flagName(key), texts);
  }
  const { name, operand } = syntax;
  const most = operand === undefined ? 0 : operand.several ? Infinity : 1;
  if (operands.length > most) {
    throw usageError(
      `use the argument "${operands[most]}"`,
      `${name} takes ${
        operand === undefined ? "flags only" : `one ${operand.name}`
      }`,
      seeHelp(name),
    );
  }
  return {
    flags: flags as Partial<ValuesOf<Table>>,
    operand: operands[0],
    operands,
  };
}

/** Returns those of some flags that were given. */
export function given<Values, Key extends keyof Values & string>(
  flags: Partial<Values>,
  keys: Iterable<Key>,
): Partial<Pick<Values, Key>> {
  const present = Array.from(keys).filter((key) => key in flags);
  return Object.fromEntries(present.map((key) => [key, flags[key]])) as Partial<
    Pick<Values, Key>
  >;
}

function read(
  flag: Flag<unknown>,
  name: string,
  texts: readonly string[],
): unknown {
  try {
    return flag.read(texts);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    const { message, hint, text = texts.at(-1)! } = error;
    const reason = `${JSON.stringify(text)} ${message}`;
    throw usageError(`use --${name} ${text}`, reason, hint);
  }
}

function seeHelp(command: string): string {
  return `${program()} ${command} --help lists all flags`;
}

/** The meaning of a name on the command line: a flag, or its negation. */
interface Meaning {
  readonly key: string;
  readonly flag: Flag<unknown>;
  readonly denied: boolean;
}

/** Returns the flags of a command by all their names on the command line. */
function meanings(syntax: Syntax): ReadonlyMap<string, Meaning> {
  const known = new Map<string, Meaning>();
  for (const [key, flag] of Object.entries(flagsOf(syntax))) {
    const name = flagName(key);
    for (const each of [name, ...flag.aliases ?? []]) {
      known.set(each, { key, flag, denied: false });
    }
    if (flag.negatable) known.set(`no-${name}`, { key, flag, denied: true });
  }
  return known;
}

function unknownFlag(
  arg: string,
  known: ReadonlyMap<string, Meaning>,
  command: string,
): UsageError {
  const [, name = ""] = /^-*([^=]*)/.exec(arg)!;
  const names = [...known.keys()].filter((known) => known.length > 1);
  return usageError(
    `use ${arg.split("=")[0]}`,
    `${command} has no such flag`,
    suggestion(name, names, seeHelp(command), "--"),
  );
}

function valueAfter(
  args: readonly string[],
  index: number,
  { value }: Flag<unknown>,
): string {
  const [flag, next] = args.slice(index, index + 2);
  if (next !== undefined && !next.startsWith("--")) return next;
  const hint = next === undefined
    ? ""
    : `, or ${flag}=${next} if that is the value`;
  throw usageError(
    `use ${flag}`,
    "it needs a value",
    `${flag} ${value}${hint}`,
  );
}
