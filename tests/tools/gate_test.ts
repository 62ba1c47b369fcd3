/** The parts of the gate: how it counts tests, how it ends programs, and how tools read their flags. */

import { assert, assertEquals, assertLess } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { readJunit } from "../../tools/junit.ts";
import { runLimited } from "../../tools/limited.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));

/** Runs Deno and returns its exit code and output. */
async function deno(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: decode(stdout), stderr: decode(stderr) };
}

Deno.test("The gate counts passed, failed and skipped tests and steps of Deno's report", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "some_test.ts");
    await Deno.writeTextFile(
      file,
      `Deno.test('good & "quoted"', () => {});
Deno.test("bad", () => { throw new Error("on purpose"); });
Deno.test.ignore("not now", () => {});
Deno.test("list", async (t) => {
  await t.step("first", () => {});
  await t.step("second", () => { throw new Error("on purpose"); });
});
`,
    );
    const { code, stdout } = await deno("test", "--reporter=junit", file);
    assertEquals(code, 1);
    assertEquals(readJunit(stdout), [
      { name: 'good & "quoted"', outcome: "passed" },
      { name: "bad", outcome: "failed" },
      { name: "not now", outcome: "skipped" },
      { name: "list", outcome: "failed" },
      { name: "list > first", outcome: "passed" },
      { name: "list > second", outcome: "failed" },
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test({
  name: "A program that exceeds its time is ended with all that it has started",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const file = await Deno.makeTempFile();
    const begun = performance.now();
    const { success } = await runLimited("bash", {
      args: ["-c", `sleep 60 & echo $! >${file}; wait`],
    }, { milliseconds: 1000, signal: "SIGTERM", grace: 5000 });
    assert(!success);
    assertLess(performance.now() - begun, 30_000);
    // One that has ended may stay as a zombie, Z, if no process asks for its outcome.
    const ended = `command -v ps >/dev/null || exit 2; for i in {1..50}; do
      ps -o stat= -p $(cat ${file}) | grep -qv '^Z' || exit 0
      sleep 0.1
    done; exit 1`;
    const { code } = await new Deno.Command("bash", { args: ["-c", ended] })
      .output();
    assertEquals(code, 0, "the process in the background has ended");
    await Deno.remove(file);
  },
});

Deno.test("Tools read flags, switches and operands, and refuse other flags with exit code 2", async () => {
  const program = `import { readFlags } from "${root}tools/flags.ts";
     console.log(JSON.stringify(readFlags({ a: "1", b: undefined, c: false })));`;
  const run = (...args: string[]) => deno("eval", program, "--", ...args);
  const given = await run("--b", "x", "one", "--c", "two");
  assertEquals(JSON.parse(given.stdout), {
    flags: { a: "1", b: "x", c: true },
    operands: ["one", "two"],
  });
  const refused = await run("--d");
  assertEquals(refused.code, 2);
  assert(refused.stderr.startsWith("Cannot read the arguments: "));
});

Deno.test("A tool that is asked for --help prints the comment at its head, and does nothing", async () => {
  const { code, stdout } = await deno(
    ...["run", "-A", `${root}tools/mutations.ts`, "--help"],
  );
  assertEquals(code, 0);
  assert(stdout.startsWith("Plants mistakes and reports which test notices"));
});
