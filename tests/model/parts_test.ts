/** How long runs are split into submissions, by the time that a GPU takes for them. */

import { assert, assertEquals } from "@std/assert";
import type { Backend, Program } from "../../lib/backends/backend.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { PartRunner } from "../../lib/model/parts.ts";

/** Runs a phase of so many parts on a GPU that takes some milliseconds for each; returns the parts of each submission. */
async function submissions(
  { parts, msPerPart, lastMs, isOver = () => false, runs = 1 }: {
    readonly parts: number;
    readonly msPerPart: number;
    readonly lastMs?: number;
    readonly isOver?: () => boolean;
    readonly runs?: number;
  },
): Promise<{ sizes: number[]; waits: number; done: boolean }> {
  const names = Array.from({ length: parts }, (_, i) => `gradient/${i}`);
  const phases = Object.fromEntries(
    ["gradient", ...names, "update"].map((name) => [name, [0, 0]]),
  );
  const sizes: number[] = [];
  const order: string[] = [];
  let [queued, waits] = [0, 0];
  const program = {
    plan: { phases } as unknown as Plan,
    run: (phases: readonly string[]) => {
      order.push(...phases);
      const ran = phases.includes("gradient")
        ? parts
        : phases.filter((name) => name !== "update").length;
      if (ran > 0) sizes.push(ran);
      queued += ran;
    },
  } as unknown as Program;
  const backend = {
    kind: "webgpu",
    finish: async () => {
      waits++;
      const ms = queued * msPerPart;
      queued = 0;
      await new Promise((resolve) => setTimeout(resolve, ms));
    },
  } as unknown as Backend;
  const runner = new PartRunner(program, backend, "gradient");
  for (let run = 1; run < runs; run++) {
    await runner.run();
    [sizes.length, order.length, waits] = [0, 0, 0];
  }
  const options = lastMs === undefined ? {} : { lastMs };
  const done = await runner.run({ ...options, isOver, after: ["update"] });
  if (done && !order.includes("gradient")) {
    assertEquals(order, [...names, "update"]);
  }
  return { sizes, waits, done };
}

Deno.test("A run that took less than an eighth of a second is one submission", async () => {
  const run = await submissions({ parts: 40, msPerPart: 2, lastMs: 100 });
  assertEquals(run, { sizes: [40], waits: 0, done: true });
});

Deno.test("A longer run is cut by its last duration, and waits only if it is slow", async () => {
  // 500 ms in 40 parts: 10 parts are 125 ms.
  const run = await submissions({ parts: 40, msPerPart: 0, lastMs: 500 });
  assertEquals(run, { sizes: [10, 10, 10, 10], waits: 0, done: true });
  const slow = await submissions({ parts: 8, msPerPart: 130, lastMs: 1040 });
  assertEquals(slow.sizes, [1, 1, 1, 1, 1, 1, 1, 1]);
  assertEquals(slow.waits, 8);
});

Deno.test("A first run grows its submissions while they are short", async () => {
  const { sizes, waits } = await submissions(
    { parts: 200, msPerPart: 2, lastMs: 0 },
  );
  assertEquals(sizes.slice(0, 4), [1, 2, 4, 8]);
  assertEquals(waits, sizes.length);
  assert(Math.max(...sizes) <= 64, `${sizes}`); // 128 ms
});

Deno.test("A first part that takes long is not doubled", async () => {
  const { sizes } = await submissions({ parts: 4, msPerPart: 80, lastMs: 0 });
  assertEquals(sizes, [1, 1, 1, 1]);
});

Deno.test("A run is left between two submissions", async () => {
  let asked = 0;
  const { done, sizes } = await submissions({
    ...{ parts: 40, msPerPart: 0, lastMs: 500 },
    isOver: () => ++asked === 2,
  });
  assertEquals([done, sizes], [false, [10, 10]]);
});

Deno.test("A later run is cut by the duration of the first", async () => {
  const long = await submissions({ parts: 30, msPerPart: 10, runs: 2 });
  assertEquals(long.waits, 0);
  assert(Math.max(...long.sizes) <= 13, `${long.sizes}`); // 125 ms of 300 and more
  assert(long.sizes.length < 20, `${long.sizes}`);
  const short = await submissions({ parts: 10, msPerPart: 2, runs: 2 });
  assertEquals(short, { sizes: [10], waits: 0, done: true });
});
