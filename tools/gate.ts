/**
 * Runs every check that a change must pass:
 *
 *     deno task ok
 *
 * `.ci/run` installs what a bare machine lacks and then runs the same list. The last line is "N passed, N failed":
 * each test, each step of a test, each other check and each command of the README counts as one. Exits 1 if
 * one failed, and names it.
 */

import { fromFileUrl, join } from "@std/path";
import { readJunit, type TestCase } from "./junit.ts";
import { runLimited } from "./limited.ts";

/**
 * Seconds for the whole gate; checks that are still to run then fail. CI's job allows 15 minutes more. Threads that wait
 * for each other do so inside WebAssembly, where only a signal ends them, so no limit of a test would.
 */
const GATE_SECONDS = 2700;

const root = fromFileUrl(new URL("../", import.meta.url));
const { exports } = JSON.parse(
  (await Deno.readTextFile(join(root, "deno.json")))
    .replaceAll(/^ *\/\/.*$/gm, ""),
);
/** The files that a user of the package can import. */
const doors: string[] = Object.values<string>(exports);

/** One check: a command of Deno. `deno test` counts its tests, every other command counts as one. */
interface Check {
  readonly name: string;
  readonly args: readonly string[];
}

/** In the order in which they run: the cheapest first. */
const checks: readonly Check[] = [
  { name: "format", args: ["fmt", "--check"] },
  { name: "lint", args: ["lint"] },
  { name: "types and lock file", args: ["check", "--frozen"] },
  { name: "documentation", args: ["doc", "--lint", ...doors] },
  {
    name: "the WebAssembly module against its sources",
    args: ["task", "check:wasm"],
  },
  {
    name: "the page of serve against its sources",
    args: ["task", "check:playground"],
  },
  // A process of its own for WebGPU: software Vulkan can take the process down.
  { name: "tests", args: ["test", "-A", "--ignore=tests/gpu"] },
  { name: "tests on WebGPU", args: ["test", "-A", "tests/gpu"] },
  {
    name: "examples in the documentation",
    args: [
      ...["test", "-A", "--doc", ...doors, "lib", "kernels", "data"],
      "README.md",
    ],
  },
  {
    name: "rehearsal of publishing",
    args: ["publish", "--dry-run", "--allow-dirty"],
  },
  { name: "commands of the README", args: ["test", "-A", "tests/readme.ts"] },
];

const report = await Deno.makeTempFile({ suffix: ".xml" });
let passed = 0;
const failures: string[] = [];

/** Runs a command of Deno in the time that is left. */
function run(args: readonly string[]): Promise<Deno.CommandStatus> {
  const left = 1000 * GATE_SECONDS - performance.now();
  return runLimited(Deno.execPath(), { args: [...args], cwd: root }, {
    milliseconds: Math.max(1000, left),
    signal: "SIGTERM",
    grace: 15_000,
  });
}

async function check({ name, args }: Check): Promise<void> {
  console.log(`\n== ${name}`);
  const isTest = args[0] === "test";
  if (!isTest) {
    const { success, code } = await run(args);
    if (success) passed++;
    else failures.push(`${name} (exit code ${code})`);
    return;
  }
  let { status, cases } = await runTests(args);
  if (status.signal !== null && isGood(cases)) {
    // About one process in 150 on software Vulkan dies on its way out, after its last test.
    console.log(
      `NOTE: all tests passed, then the process died of ${status.signal} at exit. Running them once more.`,
    );
    ({ status, cases } = await runTests(args));
  }
  const failed = cases.filter(({ outcome }) => outcome === "failed");
  const good = cases.filter(({ outcome }) => outcome === "passed").length;
  passed += good;
  for (const one of failed) failures.push(`${name}: ${one.name}`);
  // No test reports a type error, a module that throws, or the end of its time.
  if (!status.success && failed.length === 0) {
    failures.push(`${name} (${status.signal ?? `exit code ${status.code}`})`);
  } else if (cases.length === 0) {
    failures.push(`${name}: there are no tests`);
  }
  const skipped = cases.length - good - failed.length;
  console.log(
    `${name}: ${good} passed, ${failed.length} failed, ${skipped} skipped`,
  );
}

async function runTests(args: readonly string[]) {
  await Deno.writeTextFile(report, "");
  const status = await run([...args, `--junit-path=${report}`]);
  return { status, cases: readJunit(await Deno.readTextFile(report)) };
}

function isGood(cases: readonly TestCase[]): boolean {
  return cases.length > 0 && cases.every(({ outcome }) => outcome !== "failed");
}

const adapter = await navigator.gpu?.requestAdapter();
console.log(`Deno ${Deno.version.deno}`);
console.log(`adapter: ${adapter?.info.description ?? "none"}`);
for (const one of checks) await check(one);
await Deno.remove(report);
console.log("");
for (const failure of failures) console.log(`FAILED: ${failure}`);
console.log(`${passed} passed, ${failures.length} failed`);
Deno.exit(failures.length === 0 ? 0 : 1);
