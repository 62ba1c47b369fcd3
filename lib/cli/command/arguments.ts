/** From the words of a command line to typed values; what makes no sense is refused with the nearest thing that does. */

import { parseArgs } from "@std/cli/parse-args";
import { UsageError } from "./errors.ts";
import { type Command, flagsOf } from "./command.ts";
import {
  type Flag,
  flagName,
  type FlagTable,
  ValueError,
  type ValuesOf,
} from "./flag.ts";
import { nearest } from "./nearest.ts";
import { program } from "./program.ts";

/** What a command takes. */
export type Syntax<Table extends FlagTable = FlagTable> = Pick<
  Command<Table>,
  "name" | "operand" | "flags"
>;

/** What was given. */
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
 * @throws {UsageError} at the first argument that makes no sense
 */
export function parseArguments<Table extends FlagTable>(
  args: readonly string[],
  syntax: Syntax<Table>,
): Arguments<ValuesOf<Table>> {
  const known = new Known(syntax);
  const found = parseArgs(known.attachValues(args), {
    string: [...known.names("value"), "_"],
    collect: known.names("value"),
    boolean: known.names("switch"),
    negatable: known.names("negatable"),
    alias: known.letters(),
    // A switch that was not given is not the same as one that is off.
    default: Object.fromEntries(
      known.names("switch").map((name) => [name, undefined]),
    ),
    unknown: (arg, key) => {
      if (key !== undefined) throw known.unknown(arg);
      return true;
    },
  });
  const flags: Record<string, unknown> = {};
  for (const [key, flag] of known.flags) {
    const given = found[flagName(key)];
    const texts = Array.isArray(given) ? given : [given];
    if (texts.length > 0 && given !== undefined) {
      flags[key] = read(flag, flagName(key), texts.map(String));
    }
  }
  const operands = found._.map(String);
  checkOperands(operands, syntax);
  return {
    flags: flags as Partial<ValuesOf<Table>>,
    operand: operands[0],
    operands,
  };
}

/** Those of some flags that were given. */
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
    throw new UsageError(
      `Cannot use --${name} ${text}: ${JSON.stringify(text)} ${message}`,
      hint,
    );
  }
}

function checkOperands(
  operands: readonly string[],
  { name, operand }: Syntax,
): void {
  const most = operand === undefined ? 0 : operand.several ? Infinity : 1;
  if (operands.length > most) {
    const reason = operand === undefined
      ? "takes flags only"
      : `takes one ${operand.name}`;
    throw new UsageError(
      `Cannot use the argument "${operands[most]}": ${name} ${reason}`,
      seeHelp(name),
    );
  }
}

function seeHelp(command: string): string {
  return `${program()} ${command} --help lists all flags`;
}

/** The flags of a command, by what the command line calls them. */
class Known {
  readonly flags: [key: string, flag: Flag<unknown>][];
  readonly #command: string;
  readonly #byName = new Map<string, Flag<unknown> & { name: string }>();

  constructor(syntax: Syntax) {
    this.#command = syntax.name;
    this.flags = Object.entries(flagsOf(syntax));
    for (const [key, flag] of this.flags) {
      for (const name of [flagName(key), ...flag.aliases ?? []]) {
        this.#byName.set(name, { ...flag, name: flagName(key) });
      }
    }
  }

  names(kind: "value" | "switch" | "negatable"): string[] {
    return this.flags.filter(([, flag]) =>
      kind === "value"
        ? flag.value !== undefined
        : flag.value === undefined && (kind === "switch" || flag.negatable)
    ).map(([key]) => flagName(key));
  }

  /** The forms of one letter, by flag. */
  letters(): Record<string, string> {
    return Object.fromEntries(
      this.flags.flatMap(([key, { aliases = [] }]) =>
        aliases.filter(({ length }) => length === 1)
          .map((letter) => [flagName(key), letter])
      ),
    );
  }

  /** Writes `--name value` as `--name=value`: parseArgs would take `-1` for a flag, and a missing value for an empty one. */
  attachValues(args: readonly string[]): string[] {
    const attached: string[] = [];
    for (let i = 0; i < args.length; i++) {
      if (args[i] === "--") return [...attached, ...args.slice(i)];
      const [arg, flag, value] = this.#identify(args[i]!);
      if (flag?.value === undefined) {
        if (flag !== undefined && value !== undefined) {
          throw tookNoValue(flag.name);
        }
        attached.push(arg);
      } else if (value !== undefined) {
        attached.push(arg);
      } else if (flag.optional !== undefined) {
        const follows = flag.optional.includes(args[i + 1] ?? "");
        attached.push(`${arg}=${follows ? args[++i] : flag.optional[0]}`);
      } else {
        attached.push(`${arg}=${valueAfter(args, i++, flag)}`);
      }
    }
    return attached;
  }

  /** An argument with the flag's own name in place of a synonym's or one with underscores. */
  #identify(
    arg: string,
  ): [
    arg: string,
    flag?: Flag<unknown> & { name: string },
    value?: string | undefined,
  ] {
    const [, given, value] = /^--([^=]+)(=[^]*)?$/.exec(arg) ?? [];
    if (given === undefined) return [arg];
    const name = given.replaceAll("_", "-");
    const flag = this.#byName.get(name);
    if (flag !== undefined) {
      return [`--${flag.name}${value ?? ""}`, flag, value];
    }
    const denied = this.#byName.get(name.replace(/^no-/, ""));
    return [denied?.negatable ? `--no-${denied.name}${value ?? ""}` : arg];
  }

  unknown(arg: string): UsageError {
    const name = /^-*([^=]*)/.exec(arg)![1]!;
    const names = [
      ...this.#byName.keys(),
      ...this.names("negatable").map((name) => `no-${name}`),
    ].filter((known) => known.length > 1);
    const near = nearest(name, names);
    return new UsageError(
      `Cannot use ${arg.split("=")[0]}: ${this.#command} has no such flag`,
      near === undefined ? seeHelp(this.#command) : `did you mean --${near}?`,
    );
  }
}

function tookNoValue(name: string): UsageError {
  return new UsageError(`Cannot give --${name} a value: it is a switch`);
}

function valueAfter(
  args: readonly string[],
  index: number,
  { value }: Flag<unknown>,
): string {
  const next = args[index + 1];
  if (next === undefined || next.startsWith("--")) {
    throw new UsageError(
      `Cannot use ${args[index]}: it needs a value`,
      next === undefined
        ? `${args[index]} ${value}`
        : `${args[index]} ${value}, or ${
          args[index]
        }=${next} if that is the value`,
    );
  }
  return next;
}
