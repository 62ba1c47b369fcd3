/**
 * Plants mistakes and reports which test notices each:
 *
 *     deno run -A tools/mutations.ts [--whole] [NAME...]
 *
 * Each mutation in `mutations/` (all of them, or those whose name contains a NAME) is planted in a copy of this
 * working tree, and the test that should fail is run there, first without the mistake and then with it. With --whole
 * the whole test file is run, which shows the other tests that notice. Exits 1 if a mistake is missed, if a test fails without
 * a mistake, or if a mutation no longer fits its file. With --page it writes docs/mutations.md instead.
 */

import { dirname, fromFileUrl, join } from "@std/path";
import { readFlags } from "./flags.ts";
import { readJunit } from "./junit.ts";
import { mutationsPage } from "./mutations/page.ts";
import {
  type Mutation,
  plant,
  readMutations,
  type TestName,
} from "./mutations/table.ts";

const root = fromFileUrl(new URL("../", import.meta.url));

/** The longest time of a test in milliseconds. A mistake may leave a loop without an end. */
const LONGEST_TEST_MS = 600_000;

/** Copies what git tracks or would track into a temporary folder. */
async function copyTree(): Promise<string> {
  const copy = await Deno.makeTempDir({ prefix: "lm-mutations-" });
  const { stdout } = await new Deno.Command("git", {
    args: ["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    cwd: root,
  }).output();
  const files = new TextDecoder().decode(stdout).split("\0").filter(Boolean);
  for (const file of new Set(files)) {
    await Deno.mkdir(join(copy, dirname(file)), { recursive: true });
    await Deno.copyFile(join(root, file), join(copy, file));
  }
  return copy;
}

/** Runs a test, or with `whole` all of its file; returns the names of the failed tests. */
async function failures(
  copy: string,
  { file, name, step = "" }: TestName,
  whole: boolean,
): Promise<string[]> {
  const signal = AbortSignal.timeout(LONGEST_TEST_MS);
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    // Types are not checked: a mistake that the compiler refuses shows nothing about the tests.
    args: [
      ...["test", "-A", "--no-check", "--reporter=junit"],
      ...(whole ? [] : ["--filter", name]),
      file,
    ],
    cwd: copy,
    env: { NO_COLOR: "1" },
    signal,
  }).output();
  if (signal.aborted) return ["(the test does not end)"];
  const xml = new TextDecoder().decode(stdout);
  const cases = readJunit(xml).filter(({ outcome }) => outcome !== "skipped");
  const failed = cases.filter(({ outcome }) => outcome === "failed")
    .map(({ name }) => name);
  if (success && cases.length === 0) return [`(no test "${name}")`];
  if (!success && failed.length === 0) {
    const words = xml + new TextDecoder().decode(stderr);
    return [`(the file does not run: ${words.trim().slice(-300)})`];
  }
  // A test fails with each of its steps.
  return failed.filter((one) =>
    (whole || one.includes(step)) &&
    !failed.some((other) => other.startsWith(`${one} > `))
  );
}

/** Compiles the CPU engine again, if a mutation is in its sources. */
async function rebuild(copy: string, { file }: Mutation): Promise<void> {
  if (!file.startsWith("kernels/wasm/assembly/")) return;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "tools/build_wasm.ts"],
    cwd: copy,
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

/** Plants mutations one by one; returns the exit code. */
async function plantAll(
  chosen: readonly Mutation[],
  whole: boolean,
): Promise<number> {
  const copy = await copyTree();
  let good = 0;
  try {
    const generated = join(copy, "kernels/wasm/module.generated.ts");
    const module = await Deno.readTextFile(generated);
    const sound = new Map<string, readonly string[]>();
    for (const mutation of chosen) {
      const begun = performance.now();
      const { file, test } = mutation;
      const path = join(copy, file);
      const text = await Deno.readTextFile(path);
      const key = `${test.file} ${test.name}`;
      if (!sound.has(key)) sound.set(key, await failures(copy, test, whole));
      const before = sound.get(key)!;
      await Deno.writeTextFile(path, plant(mutation, text));
      await rebuild(copy, mutation);
      const after = await failures(copy, test, whole);
      await Deno.writeTextFile(path, text);
      await Deno.writeTextFile(generated, module);
      const seconds = ((performance.now() - begun) / 1000).toFixed(0);
      const verdict = before.length > 0
        ? `FAILS WITHOUT IT: ${before[0]}`
        : after.length > 0
        ? `caught by ${after[0]}${
          after.length > 1 ? ` and ${after.length - 1} more` : ""
        }`
        : "MISSED";
      if (before.length === 0 && after.length > 0) good++;
      console.log(`${mutation.name} (${seconds} s): ${verdict}`);
    }
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
  console.log(`${good} of ${chosen.length} caught`);
  return good === chosen.length ? 0 : 1;
}

if (import.meta.main) {
  const { flags: { whole, page }, operands: names } = readFlags({
    whole: false,
    page: false,
  });
  const parts = await readMutations();
  if (page) {
    const path = join(root, "docs", "mutations.md");
    await Deno.writeTextFile(path, mutationsPage(parts));
    const fmt = new Deno.Command(Deno.execPath(), { args: ["fmt", path] });
    Deno.exitCode = (await fmt.output()).code;
  } else {
    const chosen = [...parts.values()].flat().filter(({ name }) =>
      names.length === 0 || names.some((part) => name.includes(part))
    );
    Deno.exitCode = await plantAll(chosen, whole);
  }
}
