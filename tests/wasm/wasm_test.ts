/**
 * The CPU engine as an executor: order, phases, shared stores, reordered weights, the
 * account of memory. Whether kernels compute the right numbers is the conformance
 * suite's question.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { plainProduct } from "../../kernels/vocabulary.ts";
import type { Program, Stores } from "../../lib/backends/backend.ts";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import type { WasmBuffer } from "../../lib/backends/wasm/buffer.ts";
import type { Dispatch, Plan } from "../../lib/graph/plan.ts";
import { buffer, filled, n, sums } from "../fixtures/sums.ts";
import { registerExecutor } from "../suites/executor.ts";

registerExecutor("the CPU engine", { open: () => openWasm({ threads: 2 }) });

for (const shared of [true, false]) {
  Deno.test(`The CPU engine reads and writes stretches, and words as they are, shared: ${shared}`, async () => {
    await using backend = await openWasm({ threads: 1, shared });
    const store = await backend.createStore(buffer("s", "store"));
    store.write([3, 4], 2);
    store.write(new Float64Array([0.1]), 7);
    const third = Math.fround(0.1);
    const all = await store.read();
    assertEquals([...all], [0, 0, 3, 4, 0, 0, 0, third]);
    assert(all.buffer instanceof ArrayBuffer, "a read's memory is shared");
    assertEquals([...await store.read(2, 3)], [3, 4, 0]);
    assertEquals((await store.read(3, 0)).length, 0);
    all.fill(9);
    assertEquals([...await store.read(2, 3)], [3, 4, 0], "a read is a view");
    const key = await backend.createStore({
      ...buffer("key", "store"),
      dtype: "i32",
    });
    key.write([0xffffffff, -5]); // seeds are unsigned, memory is bits
    assertEquals([...await key.read(0, 2)], [-1, -5]);
  });
}

Deno.test("The CPU engine shares stores between programs", async () => {
  await using backend = await openWasm({ threads: 2 });
  const stores: Stores = new Map();
  const first = await backend.compile(sums, stores);
  const second = await backend.compile(sums, stores);
  first.buffer("b").write(filled(5));
  second.run(["forward"]);
  assertEquals([...await second.buffer("z").read()], filled(10));
});

Deno.test("The CPU engine accounts for memory and gives it back", async () => {
  await using backend = await openWasm({ threads: 2 });
  assertEquals(backend.allocatedBytes, 0);
  const stores: Stores = new Map();
  const program = await backend.compile(sums, stores);
  assert(backend.allocatedBytes >= 4 * n * 4);
  program.destroy();
  program.destroy();
  assertEquals(backend.allocatedBytes, 64, "what is left is one store");
  assertThrows(() => program.run(), TypeError, "was destroyed");
  stores.get("b")!.destroy();
  assertEquals(backend.allocatedBytes, 0);
});

Deno.test("The CPU engine holds no more memory after many programs and runs", async () => {
  await using backend = await openWasm({ threads: 2 });
  const stores: Stores = new Map();
  const round = async () => {
    const programs: Program[] = [];
    for (const plan of [sums, product, sums]) {
      const program = await backend.compile(plan, stores);
      program.run();
      programs.push(program);
    }
    // Not in the order of their making, so that gaps open and close.
    for (const program of programs) program.destroy();
  };
  await round();
  const { memory } = (stores.get("b") as WasmBuffer).backend;
  const size = () => memory.i32(0, 1).buffer.byteLength;
  const before = { allocated: backend.allocatedBytes, size: size() };
  for (let i = 0; i < 200; i++) await round();
  const after = { allocated: backend.allocatedBytes, size: size() };
  assertEquals(after, before);
});

Deno.test("The CPU engine times each dispatch when asked to", async () => {
  await using backend = await openWasm({ threads: 2 });
  const program = await backend.compile(sums, new Map());
  program.buffer("a").write(filled(1));
  const times = program.profile();
  assertEquals(times.map(({ label }) => label), ["sum 2", "sum 3", "sum 1"]);
  for (const { kernel, nanoseconds } of times) {
    assertEquals(kernel, "add");
    // Clocks have a grain; a second would be absurd.
    assert(nanoseconds >= 0 && nanoseconds < 1e9, `${nanoseconds} ns`);
  }
  assertEquals([...await program.buffer("z").read()], filled(2), "it is a run");
});

/** y = x · weightᵀ, all 8×8; and, apart, weight = next. */
const [x, weight, next, y] = [0, 1, 2, 3].map((buffer) => ({
  buffer,
  offset: 0,
  length: n * n,
})) as [Stretch, Stretch, Stretch, Stretch];
type Stretch = Dispatch["inputs"][number];
const forward: Dispatch = {
  kernel: "matmul",
  outputs: [y],
  inputs: [x, weight],
  dims: {
    ...plainProduct,
    ...{ form: "nt", M: n, N: n, K: n },
  },
  label: "forward",
};
const learn: Dispatch = {
  kernel: "copy",
  outputs: [weight],
  inputs: [next],
  dims: { n: n * n },
  label: "learn",
};
const product: Plan = {
  name: "product",
  buffers: [
    buffer("x", "input", n * n),
    buffer("weight", "store", n * n),
    buffer("next", "input", n * n),
    buffer("y", "output", n * n),
  ],
  dispatches: [forward, learn],
  phases: { forward: [0, 1], learn: [1, 2] },
};

/** A multiple of the unit matrix, n×n. */
function diagonal(value: number): Float32Array {
  return Float32Array.from(
    { length: n * n },
    (_, i) => i % (n + 1) === 0 ? value : 0,
  );
}

/** What the forward phase multiplies by: y[0,0], where x is the unit matrix. */
async function factor(program: Program): Promise<number> {
  program.run(["forward"]);
  return (await program.buffer("y").read(0, 1))[0]!;
}

Deno.test("Reordered weights follow a store that the host or another program changes", async () => {
  await using backend = await openWasm({ threads: 2 });
  const stores: Stores = new Map();
  const program = await backend.compile(product, stores);
  const other = await backend.compile(product, stores);
  program.buffer("x").write(diagonal(1));
  assertEquals(await factor(program), 0);
  program.buffer("weight").write(diagonal(2));
  assertEquals(await factor(program), 2);
  stores.get("weight")!.write([3], 0);
  assertEquals(await factor(program), 3, "one element was written");
  other.buffer("next").write(diagonal(4));
  other.run(["learn"]);
  assertEquals(await factor(program), 4);
  other.profile();
  other.buffer("next").write(diagonal(5));
  other.profile();
  assertEquals(await factor(program), 5);
});

Deno.test("Programs share reordered weights, and the last one frees them", async () => {
  await using backend = await openWasm({ threads: 1 });
  const stores: Stores = new Map();
  const first = await backend.compile(product, stores);
  const one = backend.allocatedBytes;
  const second = await backend.compile(product, stores);
  // The weight's 8 by 8 numbers are reordered once.
  assertEquals(backend.allocatedBytes, one + second.bytes);
  for (const program of [first, second]) program.buffer("x").write(diagonal(1));
  stores.get("weight")!.write(diagonal(2));
  assertEquals([await factor(first), await factor(second)], [2, 2]);
  first.destroy();
  assertEquals(await factor(second), 2);
  stores.get("weight")!.write(diagonal(3));
  assertEquals(await factor(second), 3);
  second.destroy();
  const weight = 4 * n * n;
  assertEquals(backend.allocatedBytes, weight);
  assertEquals(one - first.bytes, 2 * weight);
});

Deno.test("Weights in several orders are each reordered when they change", async () => {
  await using backend = await openWasm({ threads: 1 });
  const back: Dispatch = {
    ...forward,
    dims: { ...forward.dims, form: "nn" } as typeof forward.dims,
  };
  const half: Dispatch = {
    ...forward,
    outputs: [{ ...y, length: n * n / 2 }],
    inputs: [x, { ...weight, offset: n * n / 2, length: n * n / 2 }],
    dims: { ...forward.dims, N: n / 2 } as typeof forward.dims,
  };
  const stores: Stores = new Map();
  const programs = [];
  for (const dispatch of [forward, back, half]) {
    const plan = { ...product, dispatches: [dispatch, learn] };
    programs.push(await backend.compile(plan, stores));
    const { buffers } = product;
    programs.push(
      await backend.compile({
        ...{ name: "all", buffers, phases: {} },
        dispatches: [dispatch, forward, dispatch],
      }, stores),
    );
  }
  for (const program of programs) program.buffer("x").write(diagonal(1));
  for (const start of [1, 2]) {
    const values = Float32Array.from({ length: n * n }, (_, i) => start * i);
    stores.get("weight")!.write(values);
    const transposed = values.map((_, i) => values[i % n * n + (i / n | 0)]!);
    // x is the unit matrix: y is the weight, transposed or not, or the transposed lower half.
    const lower = values.map((_, i) =>
      values[n * n / 2 + i % (n / 2) * n + (i / (n / 2) | 0)]!
    ).subarray(0, n * n / 2);
    const expected = [transposed, values, lower];
    for (const [i, program] of programs.entries()) {
      program.run(program.plan.name === "all" ? undefined : ["forward"]);
      const right = expected[i >> 1]!;
      const got = await program.buffer("y").read(0, right.length);
      assertEquals([...got], [...right], `start ${start}, program ${i}`);
    }
  }
});

Deno.test("Reordered weights follow a phase of their own program", async () => {
  await using backend = await openWasm({ threads: 2 });
  const program = await backend.compile(product, new Map());
  program.buffer("x").write(diagonal(1));
  for (const value of [2, 3]) {
    program.buffer("next").write(diagonal(value));
    program.run(["learn"]);
    assertEquals(await factor(program), value);
  }
  program.buffer("next").write(diagonal(4));
  program.run(["forward", "learn", "forward"]);
  assertEquals((await program.buffer("y").read(0, 1))[0], 4);
});

Deno.test("Reordered weights follow a change in the same stretch of a plan", async () => {
  await using backend = await openWasm({ threads: 2 });
  const plan = { ...product, dispatches: [learn, forward], phases: {} };
  const program = await backend.compile(plan, new Map());
  program.buffer("x").write(diagonal(1));
  for (const value of [2, 3]) {
    program.buffer("next").write(diagonal(value));
    program.run();
    assertEquals((await program.buffer("y").read(0, 1))[0], value);
  }
});
