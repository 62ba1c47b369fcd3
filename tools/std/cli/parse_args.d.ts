// Types of the function that parse_args.ts takes from npm, where it comes
// without any. It accepts no more than its namesake in @std/cli 1.x does, and
// leaves out what that one infers for aliases and for dotted names.

/** What {@linkcode parseArgs} is to make of each flag. */
export interface ParseOptions<
  S extends string = string,
  B extends string = string,
  C extends string = string,
  N extends string = string,
  D extends Record<string, unknown> = Record<string, unknown>,
> {
  /** Whether what follows `--` goes to the result's `"--"` instead of `_`. */
  "--"?: boolean;
  /** Other names, by name; each is set together with its flag. */
  alias?: Record<string, string | readonly string[]>;
  /** Flags without a value: true when given, else false. */
  boolean?: readonly B[];
  /** Flags that may be repeated; their values are collected into an array. */
  collect?: readonly C[];
  /** What a flag that was not given is set to. */
  default?: D;
  /** Flags that `--no-NAME` sets to false. */
  negatable?: readonly N[];
  /** Whether all that follows the first argument without a dash goes to `_`. */
  stopEarly?: boolean;
  /** Flags with a value that is kept as it is, digits too. */
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
> = K extends C ? (K extends S ? string[] : K extends B ? boolean[] : unknown[])
  : K extends S ? string | undefined | (K extends N ? false : never)
  : K extends B ? boolean
  : unknown;

/** The flags found, and in `_` the arguments that belong to none. */
export type Args<
  S extends string,
  B extends string,
  C extends string,
  N extends string,
  D extends Record<string, unknown>,
> =
  & { [name: string]: unknown; _: (string | number)[]; "--"?: string[] }
  & {
    [K in S | B | C as string extends K ? never : K]: K extends keyof D
      ? D[K] | NonNullable<FlagValue<K, S, B, C, N>>
      : FlagValue<K, S, B, C, N>;
  };

/** Sorts command-line arguments into flags and the rest. */
export declare function parseArgs<
  S extends string = never,
  B extends string = never,
  C extends string = never,
  N extends string = never,
  D extends Record<string, unknown> = Record<never, never>,
>(
  args: string[],
  options?: ParseOptions<S, B, C, N, D>,
): Args<S, B, C, N, D>;
