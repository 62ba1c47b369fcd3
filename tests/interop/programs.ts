/** Other people's programs: tests that need them, and scripts that run them in a process of their own. */

import { assert } from "@std/assert";
import { fromFileUrl } from "@std/path";

const here = fromFileUrl(new URL(".", import.meta.url));
const isInstalled = await Deno.stat(`${here}node_modules`)
  .then(() => true, () => false);

/** Registers a test that needs the packages. With LM_REQUIRE_INTEROP=1 it fails where they are not installed. */
export function interopTest(name: string, run: () => Promise<void>): void {
  const ignore = !isInstalled && Deno.env.get("LM_REQUIRE_INTEROP") !== "1";
  Deno.test({
    name: ignore ? `${name} (skipped: no tests/interop/node_modules)` : name,
    ignore,
    fn: run,
  });
}

/**
 * Runs a script of this folder, so that a crash of a native program is a failed test.
 *
 * @param input JSON that the script reads from its standard input
 * @returns the JSON of the last line of its standard output
 */
export async function runScript(
  script: string,
  { args = [], input = null }: {
    readonly args?: readonly string[];
    readonly input?: unknown;
  },
): Promise<unknown> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-config", "--node-modules-dir=manual", script]
      .concat(args),
    cwd: here,
    env: { NO_COLOR: "1" },
    ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
  }).spawn();
  const [, { stdout, stderr, success, code, signal }] = await Promise.all([
    new Blob([JSON.stringify(input)]).stream().pipeTo(process.stdin),
    process.output(),
  ]);
  const text = new TextDecoder().decode(stderr);
  assert(success, `${script} ended with ${signal ?? code}\n${text}`);
  const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
  return JSON.parse(lines.at(-1)!);
}
