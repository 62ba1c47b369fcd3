/** What the program is called: its version, and the command that starts it. */

import { fromFileUrl, relative } from "@std/path";

/** The version, as in `deno.json`. */
export const VERSION = "0.1.0";

/** The command that the user most probably typed, up to the verb. */
export function program(): string {
  const { mainModule } = Deno;
  const isFile = mainModule.startsWith("file:");
  const main = isFile
    ? relative(Deno.cwd(), fromFileUrl(mainModule))
    : mainModule;
  return `deno run -A ${/\s/.test(main) ? JSON.stringify(main) : main}`;
}
