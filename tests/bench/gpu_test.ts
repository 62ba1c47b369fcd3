/** The driver of `bench/gpu.ts`: no part harms another one. `tests/gpu/bench_test.ts` rehearses the parts. */

import { assertEquals, assertLess } from "@std/assert";
import { join } from "@std/path";
import {
  type PartCommand,
  type PartResult,
  runParts,
} from "../../bench/gpu/driver.ts";

/** A part that runs a JavaScript text. */
function part(name: string, code: string, seconds = 20): PartCommand {
  return { name, seconds, command: [Deno.execPath(), "eval", code] };
}

const good = `console.log(JSON.stringify({ data: { n: 1 }, lines: ["one"] }))`;

async function run(
  parts: readonly PartCommand[],
  options: Partial<Parameters<typeof runParts>[1]> = {},
): Promise<{ outcomes: string[]; results: PartResult[]; written: unknown[] }> {
  const out = await Deno.makeTempDir();
  try {
    const all = { out, seconds: 60, ...options };
    const results = await Array.fromAsync(runParts(parts, all));
    const written = results.map(({ name }) =>
      JSON.parse(Deno.readTextFileSync(join(out, `${name}.json`)))
    );
    return { outcomes: results.map((one) => one.outcome), results, written };
  } finally {
    await Deno.remove(out, { recursive: true });
  }
}

Deno.test("A part that fails, hangs, prints nonsense or does not exist is named, and the others run", async () => {
  const begun = performance.now();
  const { outcomes, results, written } = await run([
    part("a", good),
    part("throws", `throw new Error("no luck")`),
    part("hangs", `setInterval(() => {}, 1000)`, 2),
    part("talks", `console.log("no JSON")`),
    part("fails with data", `${good}; Deno.exit(1)`),
    { name: "missing", seconds: 5, command: ["./no-such-program"] },
    part("z", `console.log("first"); ${good}`),
  ]);
  assertEquals(outcomes, [
    ...["ok", "failed", "late", "failed", "failed", "failed", "ok"],
  ]);
  assertEquals(written, results);
  assertEquals(results.at(-1)!.data, { n: 1 });
  assertEquals(results[4]!.lines, ["one"]);
  // The message, without the stack.
  assertEquals(results[1]!.lines.length, 1);
  assertEquals(results[1]!.lines[0]!.endsWith("Error: no luck"), true);
  assertLess(performance.now() - begun, 30_000);
});

Deno.test("A part that ignores signals, or whose children hold its output, is late in time", async () => {
  const begun = performance.now();
  const stubborn = "trap '' TERM; sleep 60 & wait; wait";
  const { outcomes } = await run([
    { name: "stubborn", seconds: 1, command: ["sh", "-c", stubborn] },
    { name: "parent", seconds: 1, command: ["sh", "-c", "sleep 60 &"] },
    part("b", good),
  ]);
  assertEquals(outcomes, ["late", "late", "ok"]);
  assertLess(performance.now() - begun, 20_000);
});

Deno.test("When the time of all is over, the rest are left out", async () => {
  const { outcomes } = await run(
    [part("hangs", `setInterval(() => {}, 1000)`), part("b", good)],
    { seconds: 2 },
  );
  assertEquals(outcomes, ["late", "left out"]);
});

Deno.test("Without the essential part the rest are left out", async () => {
  const first = { ...part("adapter", good), essential: true };
  const ran = await run([first, part("b", good)]);
  assertEquals(ran.outcomes, ["ok", "ok"]);
  const refused = await run([first, part("b", good)], { goesOn: () => false });
  assertEquals(refused.outcomes, ["ok", "left out"]);
  const failing = { ...part("adapter", "Deno.exit(1)"), essential: true };
  const failed = await run([failing, part("b", good)]);
  assertEquals(failed.outcomes, ["failed", "left out"]);
});
