/** The reference backend as an executor: buffers, stores, phases, and the plans that it refuses. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { OutOfMemoryError } from "../../lib/backends/backend.ts";
import { openReference } from "../../lib/backends/reference.ts";
import type {
  BufferSpec,
  Dispatch,
  Operand,
  Plan,
} from "../../lib/graph/plan.ts";
import { registerConformance } from "../suites/conformance.ts";
import { registerExecutor } from "../suites/executor.ts";

// Only the way through the executor is in question here, not the kernels: small cases suffice.
registerConformance("the reference", {
  open: () => Promise.resolve(openReference()),
  largest: 20_000,
});

registerExecutor("the reference", {
  open: () => Promise.resolve(openReference()),
});

const n = 4;

/** y = a + b, then z = y + y, through a slot or another kind of buffer. */
function planThrough(middle: Pick<BufferSpec, "kind" | "name">): Plan {
  const buffers = [
    { name: "a", kind: "input" },
    { name: "b", kind: "store" },
    middle,
    { name: "z", kind: "output" },
  ] as const;
  const whole = (buffer: number): Operand => ({ buffer, offset: 0, length: n });
  const add = (output: number, inputs: readonly number[]): Dispatch => ({
    kernel: "add",
    outputs: [whole(output)],
    inputs: inputs.map(whole),
    dims: { n },
    label: "sum",
  });
  return {
    name: "sums",
    buffers: buffers.map((spec) => ({ ...spec, dtype: "f32", length: n })),
    dispatches: [add(2, [0, 1]), add(3, [2, 2])],
    phases: { first: [0, 1], second: [1, 2] },
  };
}

const plan = planThrough({ name: "y", kind: "slot" });

Deno.test("Reference runs the phases that are asked for, in that order", async () => {
  await using backend = openReference();
  const program = await backend.compile(
    planThrough({ name: "y", kind: "output" }),
    new Map(),
  );
  program.buffer("a").write([1, 1, 1, 1]);
  program.run(["second"]);
  assertEquals([...await program.buffer("z").read()], [0, 0, 0, 0]);
  program.run(["second", "first"]);
  assertEquals([...await program.buffer("z").read()], [0, 0, 0, 0]);
  program.run(["first", "second"]);
  assertEquals([...await program.buffer("z").read()], [2, 2, 2, 2]);
  assertThrows(() => program.run(["third"]), RangeError, "has first, second");
});

Deno.test("Reference shows what was read from a slot before it was computed", async () => {
  await using backend = openReference();
  const program = await backend.compile(plan, new Map());
  program.run(["second"]);
  assertEquals([...await program.buffer("z").read()], [NaN, NaN, NaN, NaN]);
});

Deno.test("Reference shares stores between programs by name", async () => {
  await using backend = openReference();
  const stores = new Map();
  const first = await backend.compile(plan, stores);
  first.buffer("b").write([5, 5, 5, 5]);
  const second = await backend.compile(plan, stores);
  second.run();
  assertEquals([...await second.buffer("z").read()], [10, 10, 10, 10]);
});

Deno.test("Reference refuses operands that do not fit the kernel's dims", async () => {
  await using backend = openReference();
  const [add] = plan.dispatches;
  const change = (inputs: readonly Operand[]): Plan => ({
    ...plan,
    dispatches: [{ ...add, inputs } as Dispatch],
    phases: {},
  });
  const a = { buffer: 0, offset: 0, length: n };
  const refusals = [
    [[a], "it has 1 inputs, not 2 (a, b)"],
    [[a, { ...a, length: 3 }], "b is f32[3], not f32[4]"],
    [[a, { ...a, offset: 1 }], "elements 1 to 5 are not within the 4 of a"],
  ] as const;
  for (const [inputs, reason] of refusals) {
    await assertRejects(
      () => backend.compile(change(inputs), new Map()),
      RangeError,
      reason,
    );
  }
});

Deno.test("Reference says how much memory there is no room for, and keeps none", async () => {
  await using backend = openReference();
  const length = 2 ** 52;
  const spec = { name: "z", kind: "store", dtype: "f32", length } as const;
  const reason =
    "Cannot allocate z: it needs 36028797.02 GB, more than the device has";
  await assertRejects(
    () => backend.createStore(spec),
    OutOfMemoryError,
    reason,
  );
  const buffers = [...plan.buffers.slice(0, -1), { ...spec, kind: "output" }];
  const stores = new Map();
  await assertRejects(
    () => backend.compile({ ...plan, buffers } as Plan, stores),
    OutOfMemoryError,
    reason,
  );
  assertEquals(stores.size, 0);
  assertEquals(backend.allocatedBytes, 0);
});

Deno.test("Reference forgets the memory of destroyed programs and stores", async () => {
  await using backend = openReference();
  const stores = new Map();
  const program = await backend.compile(plan, stores);
  assertEquals(backend.allocatedBytes, 4 * n * 8);
  program.destroy();
  assertEquals(backend.allocatedBytes, n * 8);
  stores.get("b").destroy();
  assertEquals(backend.allocatedBytes, 0);
});
