/** Reads the command lines of tools and benchmarks. */

import { parseArgs } from "node:util";

/** The values of flags by their names: a switch if the default is a boolean, else a text. */
export type Flags<Defaults> = {
  readonly [Name in keyof Defaults]: Defaults[Name] extends boolean ? boolean
    : Defaults[Name] extends string ? string
    : string | undefined;
};

/**
 * Reads the command line of this process. Prints a mistake in it, or what `--help` asks for, and exits.
 *
 * @param defaults a value for each flag: false for a switch, undefined for a text that may be absent
 * @param usage the text that `--help` prints; by default the comment at the head of the program
 * @returns the flags, and the other arguments
 */
export function readFlags<
  Defaults extends Readonly<Record<string, string | false | undefined>>,
>(
  defaults: Defaults,
  usage?: string,
): { readonly flags: Flags<Defaults>; readonly operands: readonly string[] } {
  const options = Object.fromEntries(
    [...Object.entries(defaults), ["help", false] as const]
      .map(([name, value]) =>
        [name, { type: value === false ? "boolean" : "string" }] as const
      ),
  );
  try {
    const { values, positionals } = parseArgs({
      args: Deno.args,
      options,
      allowPositionals: true,
    });
    if (values["help"]) {
      console.log(usage ?? headComment());
      Deno.exit(0);
    }
    return {
      flags: { ...defaults, ...values } as Flags<Defaults>,
      operands: positionals,
    };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    refuseArguments(error.message, usage);
  }
}

/** Returns the text of the comment with which the program begins. */
function headComment(): string {
  const program = Deno.readTextFileSync(new URL(Deno.mainModule));
  const [, comment] = /^(?:#!.*\n)?\/\*\*([^]*?)\*\//.exec(program)!;
  return comment!.replaceAll(/^ *\* ?/gm, "").trim();
}

/** Prints a mistake in the command line, and how to write it; exits with 2. */
export function refuseArguments(reason: string, usage?: string): never {
  console.error(`Cannot read the arguments: ${reason}`);
  if (usage !== undefined) console.error(`\n${usage}`);
  Deno.exit(2);
}
