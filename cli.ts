/**
 * The program: `deno run -A cli.ts train`, `sample`, `eval`, `info`; `--help` says more.
 * It is made of `lib/cli/`; what it does with models, `mod.ts` offers to other programs.
 *
 * @module
 */

import { main } from "./lib/cli/command/main.ts";

if (import.meta.main) Deno.exit(await main(Deno.args));
