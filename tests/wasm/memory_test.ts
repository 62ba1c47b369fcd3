/** Memory of the CPU engine: how it is given out, taken back and refused. */

import {
  assert,
  assertEquals,
  assertGreater,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { OutOfMemoryError, type Stores } from "../../lib/backends/backend.ts";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { WasmMemory } from "../../lib/backends/wasm/memory.ts";
import { Dataset } from "../../lib/text/dataset.ts";
import type { TrainEvent } from "../../lib/train/events.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { Model } from "../../lib/model/model.ts";
import { Tokenizer } from "../../lib/text/tokenizer.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { randomIds } from "../../lib/checks/variants.ts";
import { add, buffer, filled, sums } from "../fixtures/sums.ts";

/** Pages of 64 KiB of the small memory. */
const PAGES = 8;

function small(): WasmMemory {
  const limits = { initial: 2, maximum: PAGES };
  return new WasmMemory(new WebAssembly.Memory(limits), PAGES);
}

Deno.test("WasmMemory gives out zeros, also where something was before", () => {
  const memory = small();
  const sizes = [4, 64, 65, 100_000];
  for (let round = 0; round < 3; round++) {
    const places = sizes.map((bytes) => memory.allocate(bytes, "test"));
    places.forEach((at, i) => {
      assertEquals(at % 64, 0);
      const words = memory.f32(at, Math.ceil(sizes[i]! / 4));
      assert(words.every((word) => word === 0), `round ${round}, ${sizes[i]}`);
      words.fill(1);
    });
    // The last one stays in the first round, so that both gaps and the end are used again.
    for (const at of places.slice(0, round === 0 ? -1 : 4)) memory.free(at);
  }
});

Deno.test("WasmMemory merges gaps, in whichever order they open", () => {
  for (const order of [[0, 1, 2], [2, 1, 0], [0, 2, 1], [1, 0, 2]]) {
    const memory = small();
    const places = [0, 1, 2].map(() => memory.allocate(6400, "test"));
    const last = memory.allocate(64, "test");
    for (const i of order) memory.free(places[i]!);
    assertEquals(memory.allocatedBytes, 64);
    assertEquals(memory.allocate(3 * 6400, "test"), places[0], `${order}`);
    memory.free(last);
    memory.free(places[0]!);
    // With the last gap the end moves back.
    assertEquals(memory.allocate(100_000, "test"), places[0]);
    assertEquals(memory.allocatedBytes, Math.ceil(100_000 / 64) * 64);
  }
});

Deno.test("WasmMemory does not mind being given the same twice", () => {
  const memory = small();
  const first = memory.allocate(64, "test");
  const second = memory.allocate(64, "test");
  memory.free(first);
  memory.free(first);
  assertEquals(memory.allocatedBytes, 64);
  assertNotEquals(memory.allocate(128, "test"), second);
});

Deno.test("WasmMemory refuses what does not fit and stays usable", () => {
  const memory = small();
  memory.allocate(1000, "test");
  const before = memory.allocatedBytes;
  assertThrows(
    () => memory.allocate(PAGES * 65536, "wte"),
    OutOfMemoryError,
    "Cannot allocate wte: it needs 0.53 MB, 0.39 MB are free",
  );
  assertEquals(memory.allocatedBytes, before);
  const at = memory.allocate(memory.capacity - before, "all there is");
  assertThrows(() => memory.allocate(1, "more"), RangeError);
  // Kernels may read a little past the end of an operand.
  memory.f32(at + memory.capacity - before, 65536 / 4);
});

Deno.test("The CPU engine refuses a store beyond 4 GiB", async () => {
  await using backend = await openWasm({ threads: 1 });
  await assertRejects(
    () => backend.createStore(buffer("cache", "store", 2 ** 30)),
    OutOfMemoryError,
    "Cannot allocate cache: it needs 4.30 GB, 4.29 GB are free",
  );
  assertEquals(backend.allocatedBytes, 0);
});

/** The plan with a longer `z`, of which only the beginning is used. */
function withOutput(length: number): Plan {
  const buffers = [...sums.buffers.slice(0, 3), buffer("z", "output", length)];
  return { ...sums, buffers };
}

Deno.test("The CPU engine refuses a plan that does not fit, before allocating", async () => {
  await using backend = await openWasm({ threads: 1 });
  const stores: Stores = new Map();
  await assertRejects(
    () => backend.compile(withOutput(2 ** 30), stores),
    OutOfMemoryError,
    "Cannot compile sums: it needs 4.30 GB, 4.29 GB are free",
  );
  assertEquals(stores.size, 0);
  assertEquals(backend.allocatedBytes, 0);
});

Deno.test("The CPU engine keeps nothing of a plan for which gaps are too small", async () => {
  await using backend = await openWasm({ threads: 1 });
  const length = 1.5e9 / 4;
  const first = await backend.createStore(buffer("first", "store", length));
  await backend.createStore(buffer("second", "store", length));
  first.destroy();
  const before = backend.allocatedBytes;
  const stores: Stores = new Map();
  // 1.5 GB are free in the middle and 1.3 GB at the end.
  await assertRejects(
    () => backend.compile(withOutput(2e9 / 4), stores),
    OutOfMemoryError,
    "Cannot allocate z in one piece: it needs 2.00 GB, 1.49 GB are free",
  );
  assertEquals(backend.allocatedBytes, before);
  assertEquals(stores.size, 0);
  const program = await backend.compile(sums, stores);
  program.buffer("a").write(filled(1));
  program.run(["forward"]);
  assertEquals([...await program.buffer("z").read()], filled(2));
});

for (const threads of [1, 2]) {
  Deno.test(`The CPU engine computes beyond the 2 GiB of signed addresses, threads: ${threads}`, async () => {
    await using backend = await openWasm({ threads });
    await backend.createStore(buffer("large", "store", 2.2e9 / 4));
    const length = 200_000; // long enough for both threads
    const plan: Plan = {
      name: "long",
      buffers: ["a", "b", "z"].map((name) => buffer(name, "output", length)),
      dispatches: [add(2, [0, 1], length)],
      phases: {},
    };
    const program = await backend.compile(plan, new Map());
    program.buffer("a").write(new Float32Array(length).fill(1));
    program.buffer("b").write(new Float32Array(length).fill(2));
    program.run();
    const z = await program.buffer("z").read();
    assert(z.every((value) => value === 3));
  });
}

/** A training with evaluations and samples, on a model of about 0.4 MB. */
async function train(pages: number): Promise<TrainEvent["kind"][]> {
  await using backend = await openWasm({ threads: 1, pages });
  const blockSize = 32;
  const tokenizer = Tokenizer.ascii();
  const { vocabSize } = tokenizer;
  const sizes = { vocabSize, blockSize, nLayer: 2, nHead: 2, nEmbd: 64 };
  await using model = await Model.create(sizes, { backend, tokenizer });
  const before = backend.allocatedBytes;
  const text = randomIds(3000, { vocabSize });
  const dataset = new Dataset(text, { blockSize, batchSize: 8 });
  const sample = { prompt: "to be", maxNewTokens: 40 };
  const steps = { maxSteps: 4, evalInterval: 2, sampleInterval: 2 };
  try {
    const trainer = new Trainer(model, dataset, { ...steps, sample });
    const events = await Array.fromAsync(trainer.run());
    return events.map(({ kind }) => kind);
  } catch (error) {
    assertEquals(backend.allocatedBytes, before);
    throw error;
  }
}

Deno.test("A training has all the memory that it will need, or is refused before it begins", async () => {
  const error = await assertRejects(() => train(40), OutOfMemoryError);
  const { needed, room } = error;
  assertEquals(
    error.message,
    `Cannot train with batchSize 8 and blockSize 32: it needs ${
      (Math.ceil(needed / 1e4) / 100).toFixed(2)
    } MB, ${(Math.floor(room! / 1e4) / 100).toFixed(2)} MB are free`,
  );
  assertGreater(needed, room!);
  // Pages that are missing, besides the 40.
  const pages = 40 + Math.ceil((needed - room!) / 65536);
  const short = await assertRejects(() => train(pages - 1), OutOfMemoryError);
  assertEquals(short.needed, needed);
  assertEquals(short.room! - room!, 65536 * (pages - 41));
  // Nothing is left over, and nothing lacks: neither for the first evaluation nor for the last sample.
  const events = await train(pages);
  const count = (kind: TrainEvent["kind"]) =>
    events.filter((event) => event === kind).length;
  assertEquals([count("step"), count("eval"), count("sample")], [4, 2, 2]);
});

Deno.test("A model that does not fit is refused before its weights are drawn", async () => {
  await using backend = await openWasm({ threads: 1, pages: 64 });
  const sizes = { vocabSize: 7, blockSize: 8, nHead: 1, nEmbd: 4096 };
  const begun = performance.now();
  // 4.8e9 numbers, which would take minutes.
  const error = await assertRejects(
    () => Model.create({ ...sizes, nLayer: 24 }, { backend }),
    OutOfMemoryError,
    "Cannot allocate params: it needs 19.34 GB, 4.06 MB are free",
  );
  assertGreater(1000, performance.now() - begun);
  assertEquals([error.needed > 19e9, error.room], [true, backend.room]);
  assertEquals(backend.allocatedBytes, 0);
});

Deno.test("A text that will outgrow its window has the memory for that, or is refused before it begins", async () => {
  const sizes = {
    vocabSize: 7,
    blockSize: 512,
    nLayer: 1,
    nHead: 1,
    nEmbd: 64,
  };
  /** The tokens that came, and whether memory was what lacked. */
  const generate = async (pages: number, maxNewTokens: number) => {
    await using backend = await openWasm({ threads: 1, pages });
    await using model = await Model.create(sizes, { backend });
    let count = 0;
    try {
      for await (const _ of model.generate([1], { maxNewTokens })) count++;
      return { count, lacks: false };
    } catch (error) {
      assertEquals((error as Error).name, "OutOfMemoryError");
      return { count, lacks: true };
    }
  };
  const enough = async (maxNewTokens: number) => {
    for (let pages = 16;; pages++) {
      const { count, lacks } = await generate(pages, maxNewTokens);
      assertEquals(count, lacks ? 0 : maxNewTokens);
      if (!lacks) return pages;
    }
  };
  // Up to 512 tokens are decoded one by one; with 514 half of the window, 256, is encoded anew.
  const [short, long] = [await enough(2), await enough(514)];
  assertGreater(long, short);
  assertEquals(await enough(512), short);
});
