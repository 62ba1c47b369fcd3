/** The program's version, and the command that starts it. */

import { fromFileUrl, join, relative } from "@std/path";

/** The version, as in `deno.json`. */
export const VERSION = "0.1.0";

/** Returns the command that starts this program, up to the verb, as the user can type it. */
export function program(): string {
  return called ??= commandOf({
    main: Deno.mainModule,
    cwd: Deno.cwd(),
    path: Deno.env.get("PATH") ?? "",
  });
}

let called: string | undefined;

/** Returns this program's command with some arguments, as the user can type it. */
export function commandLine(args: readonly string[]): string {
  const quoted = args.map((arg) =>
    /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", `'\\''`)}'`
  );
  return [program(), ...quoted].join(" ");
}

/** The URL of a file on JSR or any mirror of it. */
const jsrFile = /^https?:\/\/[^/]+\/(@[^/]+\/[^/]+)\/\d[^/]*\/(.*)\.ts$/;

/**
 * Returns the command that starts a main module.
 *
 * @param main its URL
 * @param path directories in which `deno install` may have put `lm`
 */
export function commandOf(
  { main, cwd, path }: {
    readonly main: string;
    readonly cwd: string;
    readonly path: string;
  },
): string {
  const [, jsrPackage, entry] = jsrFile.exec(main) ?? [];
  const jsr = jsrPackage && `jsr:${jsrPackage}`;
  if (isInstalled(jsr ?? main, path)) return "lm";
  if (jsr !== undefined) return `deno run -A ${jsr}/${entry}`;
  if (!main.startsWith("file:")) return `deno run -A ${main}`;
  const file = relative(cwd, fromFileUrl(main));
  return `deno run -A ${/\s/.test(file) ? JSON.stringify(file) : file}`;
}

/** The largest size of a script of `deno install`, in bytes. */
const MAX_SCRIPT = 4096;

/** Returns true if the first `lm` on the path is a script of `deno install` that starts this module. */
function isInstalled(main: string, path: string): boolean {
  const isWindows = Deno.build.os === "windows";
  const file = isWindows ? "lm.cmd" : "lm";
  for (const directory of path.split(isWindows ? ";" : ":")) {
    if (directory === "") continue;
    const script = join(directory, file);
    try {
      const { isFile, size } = Deno.statSync(script);
      if (!isFile) continue;
      return size <= MAX_SCRIPT && Deno.readTextFileSync(script).includes(main);
    } catch (error) {
      const isElsewhere = error instanceof Deno.errors.NotFound ||
        error instanceof Deno.errors.NotADirectory ||
        error instanceof Deno.errors.PermissionDenied ||
        error instanceof Deno.errors.NotCapable;
      if (!isElsewhere) throw error;
    }
  }
  return false;
}
