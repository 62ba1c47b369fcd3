/** Libraries for the tests of the BLAS: the machine's own, and small ones that a C compiler makes. */

import { fromFileUrl, join } from "@std/path";
import { openWasm } from "../../lib/backends/wasm/engine.ts";

/** With LM_REQUIRE_BLAS=1, tests that lack a library or a compiler fail and are not skipped. */
const isRequired = Deno.env.get("LM_REQUIRE_BLAS") === "1";

/** True if the machine has a BLAS. */
async function hasBlas(): Promise<boolean> {
  await using backend = await openWasm({ threads: 2, blas: "auto" });
  return backend.blas !== undefined;
}

/** True if tests with the machine's BLAS are skipped. */
export const skipped: boolean = !isRequired && !await hasBlas();

/** What the name of such a test ends in. */
export const suffix: string = skipped ? " (skipped: no BLAS)" : "";

/** Registers a test with the machine's BLAS. */
export function blasTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: name + suffix, ignore: skipped, fn });
}

const hasCompiler = await new Deno.Command("cc", {
  args: ["--version"],
  stdout: "null",
  stderr: "null",
}).output().then(({ success }) => success, () => false);

/** Registers a test with a library compiled from `blas_stub.c`; `fn` gets a directory for it. */
export function stubTest(
  name: string,
  fn: (directory: string) => Promise<void>,
): void {
  const ignore = !hasCompiler && !isRequired;
  Deno.test({
    name: ignore ? `${name} (skipped: no C compiler)` : name,
    ignore,
    fn: async () => {
      const directory = await Deno.makeTempDir();
      try {
        await fn(directory);
      } finally {
        await Deno.remove(directory, { recursive: true });
      }
    },
  });
}

/** Compiles the stub with these definitions; returns its path. */
export async function compileStub(
  directory: string,
  defines: readonly string[] = [],
): Promise<string> {
  const path = join(directory, "libstub.so");
  const source = fromFileUrl(new URL("blas_stub.c", import.meta.url));
  const { success, stderr } = await new Deno.Command("cc", {
    args: [
      ...["-O1", "-shared", "-fPIC", "-o", path, source],
      ...defines.map((define) => `-D${define}`),
    ],
    stderr: "piped",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return path;
}
