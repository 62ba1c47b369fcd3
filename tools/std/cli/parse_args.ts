/**
 * Stand-in for `jsr:@std/cli/parse-args`, made of `node:util`'s `parseArgs`: that
 * one splits the arguments into tokens, and what they mean is decided here as
 * `@std/cli` decides it. Dotted names, `collect` for switches, a value glued to a
 * letter (`-n5`) and several names for one flag at once are left out: nothing here uses them.
 *
 * @module
 */
import { parseArgs as tokenize } from "node:util";

/** How {@linkcode parseArgs} reads each flag. */
export interface ParseOptions<
  S extends string = string,
  B extends string = string,
  C extends string = string,
  N extends string = string,
  D extends Record<string, unknown> = Record<string, unknown>,
> {
  /** Another name of a flag, by flag; both are set. */
  alias?: Record<string, string>;
  /** Flags without a value: true when given, else false. */
  boolean?: readonly B[];
  /** Flags that may be repeated; their values are collected into an array. */
  collect?: readonly C[];
  /** Values of flags that were not given. */
  default?: D;
  /** Flags that `--no-NAME` sets to false. */
  negatable?: readonly N[];
  /** Flags whose value stays text, digits too; `_`: so do the other arguments. */
  string?: readonly S[];
  /** Called with each argument not named above; `false` drops it. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** The type of one flag's value. */
type FlagValue<
  K extends string,
  S extends string,
  B extends string,
  C extends string,
  N extends string,
> = K extends C ? (K extends S ? string[] : unknown[])
  : K extends S ? string | undefined | (K extends N ? false : never)
  : K extends B ? boolean
  : unknown;

/** The flags found, and in `_` all other arguments. */
export type Args<
  S extends string,
  B extends string,
  C extends string,
  N extends string,
  D extends Record<string, unknown>,
> =
  & { [name: string]: unknown; _: (string | number)[] }
  & {
    [K in S | B | C as string extends K ? never : K]: K extends keyof D
      ? D[K] | NonNullable<FlagValue<K, S, B, C, N>>
      : FlagValue<K, S, B, C, N>;
  };

/** Sorts command-line arguments into flags and the rest. */
export function parseArgs<
  S extends string = never,
  B extends string = never,
  C extends string = never,
  N extends string = never,
  D extends Record<string, unknown> = Record<never, never>,
>(
  args: string[],
  options: ParseOptions<S, B, C, N, D> = {},
): Args<S, B, C, N, D> {
  const { alias = {}, unknown = () => true } = options;
  const others = new Map(
    Object.entries(alias).flatMap(([a, b]) => [[a, b], [b, a]]),
  );
  const named = (names: readonly string[] = []) =>
    new Set(names.flatMap((name) => [name, others.get(name) ?? name]));
  const [texts, switches, collected, negatable] = [
    named(options.string),
    named(options.boolean),
    named(options.collect),
    named(options.negatable),
  ];
  const found: Record<string, unknown> & { _: (string | number)[] } = { _: [] };
  const put = (name: string, value: unknown, arg: string, collects = true) => {
    const isKnown = texts.has(name) || switches.has(name) ||
      collected.has(name) || others.has(name);
    if (!isKnown && unknown(arg, name, value) === false) return;
    if (typeof value === "string" && !texts.has(name)) value = numbered(value);
    for (const key of new Set([name, others.get(name) ?? name])) {
      if (!(collects && collected.has(key))) found[key] = value;
      else if (Array.isArray(found[key])) found[key].push(value);
      else found[key] = found[key] ? [found[key], value] : [value];
    }
  };
  const { tokens } = tokenize({
    args,
    strict: false,
    tokens: true,
    options: {},
  });
  let ended = false;
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (token.kind === "option-terminator") {
      ended = true;
    } else if (token.kind === "positional") {
      const { value } = token;
      if (!ended && unknown(value) === false) continue;
      found._.push(texts.has("_") || ended ? value : numbered(value));
    } else {
      const { name, index } = token;
      const arg = args[index]!;
      const isLong = token.rawName.startsWith("--");
      const denied = /^no-(.+)$/s.exec(name)?.[1];
      const next = tokens[i + 1];
      const value = next?.kind === "positional" ? next.value : "";
      const isWord = value === "true" || value === "false";
      if (token.inlineValue) {
        const isSwitch = switches.has(name);
        put(name, isSwitch ? token.value !== "false" : token.value, arg);
      } else if (isLong && denied !== undefined && negatable.has(denied)) {
        put(denied, false, arg, false);
      } else if (switches.has(name) && isWord) {
        put(name, value !== "false", arg);
        i++;
      } else if (
        !switches.has(name) && value !== "" &&
        !(isLong && value.startsWith("-"))
      ) {
        put(name, value, arg);
        i++;
      } else {
        put(name, texts.has(name) ? "" : true, arg);
      }
    }
  }
  const settle = (name: string, value: unknown) => {
    if (!Object.hasOwn(found, name)) found[name] = value;
  };
  for (const [name, value] of Object.entries(options.default ?? {})) {
    settle(name, value);
    settle(others.get(name) ?? name, value);
  }
  for (const name of switches) settle(name, false);
  for (const name of collected) if (texts.has(name)) settle(name, []);
  return found as Args<S, B, C, N, D>;
}

function numbered(text: string): string | number {
  return /\S/.test(text) && Number.isFinite(Number(text)) ? Number(text) : text;
}
