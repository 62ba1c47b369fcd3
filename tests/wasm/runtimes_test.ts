/**
 * The CPU engine in runtimes that lack something, each in a process of its own that has
 * no permissions and must end by itself.
 */

import { assertEquals, assertMatch } from "@std/assert";
import type { Mode, Told } from "./elsewhere.ts";

/** Milliseconds that a process may take. It needs a tenth of a second; one that hangs never ends. */
const PATIENCE = 60_000;

const script = new URL("./elsewhere.ts", import.meta.url).href;

/** Runs the program in such a runtime to its end. */
async function tellIn(mode: Mode): Promise<Told> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--quiet", script, mode],
    stdin: "null",
    signal: AbortSignal.timeout(PATIENCE),
  }).output();
  assertEquals(success, true, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test("The CPU engine needs no permission, and its process ends", async () => {
  const { description, threads, z } = await tellIn("as it is");
  assertEquals([threads, z], [3, 2]);
  assertMatch(description!, /^CPU, 3 threads, (relaxed )?SIMD$/);
});

Deno.test("The CPU engine runs strict kernels where there is no relaxed SIMD", async () => {
  const { description, z } = await tellIn("no relaxed SIMD");
  assertEquals([description, z], ["CPU, 3 threads, SIMD", 2]);
});

const alone: readonly (readonly [Mode, reason: RegExp])[] = [
  ["no shared memory", /this runtime shares no memory between threads/],
  ["no workers", /no more could be started: workers are not allowed here/],
  ["no second worker", /no more could be started: one worker is enough/],
  ["failing workers", /no more could be started: .*out of order/],
  ["a policy against workers", /Content-Security-Policy .*worker-src blob:/],
];
for (const [mode, reason] of alone) {
  Deno.test(`The CPU engine runs on one thread and says why: ${mode}`, async () => {
    const { description, threads, z } = await tellIn(mode);
    assertEquals([threads, z], [1, 2]);
    assertMatch(description!, /^CPU, 1 thread \(/);
    assertMatch(description!, reason);
  });
}

const refused: readonly (readonly [Mode, what: string])[] = [
  ["no WebAssembly", "WebAssembly"],
  ["no SIMD", "WebAssembly's SIMD"],
];
for (const [mode, what] of refused) {
  Deno.test(`The CPU engine says what it misses: ${mode}`, async () => {
    const { error } = await tellIn(mode);
    const [name, message, hint] = error!;
    assertEquals(name, "NoAdapterError");
    assertEquals(
      message,
      `Cannot open device wasm: this runtime has no ${what}`,
    );
    assertMatch(hint!, /the device "reference" runs anywhere/);
  });
}

Deno.test("The CPU engine says which policy keeps it from starting", async () => {
  const { error } = await tellIn("a policy against WebAssembly");
  const [name, message, hint] = error!;
  assertEquals(name, "NoAdapterError");
  assertEquals(
    message,
    "Cannot open device wasm: it violates the policy",
  );
  assertMatch(hint!, /Content-Security-Policy needs 'wasm-unsafe-eval'/);
});
