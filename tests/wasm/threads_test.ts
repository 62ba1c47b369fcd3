/** The threads of the CPU engine: how many, that results do not depend on them, and what happens when one breaks down. */

import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  CONTROL_ACTIVE,
  CONTROL_FROM,
  CONTROL_JOB,
  CONTROL_TO,
  COPY,
  HEAP,
  RECORD_ARGUMENTS,
  RECORD_BYTES,
  RECORD_GRAIN,
  RECORD_KERNEL,
  RECORD_UNITS,
} from "../../kernels/wasm/codes.ts";
import { plainProduct } from "../../kernels/vocabulary.ts";
import { DeviceLostError } from "../../lib/backends/backend.ts";
import { openWasm, type WasmBackend } from "../../lib/backends/wasm/engine.ts";
import type { WasmBuffer } from "../../lib/backends/wasm/buffer.ts";
import type { WasmProgram } from "../../lib/backends/wasm/program.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { normals } from "../../lib/checks/conformance_operands.ts";
import { buffer, sums } from "../fixtures/sums.ts";

Deno.test("openWasm takes from 1 to 256 threads", async () => {
  for (const threads of [0, -1, 257, 1.5, NaN, Infinity]) {
    await assertRejects(
      () => openWasm({ threads }),
      RangeError,
      `Cannot open device wasm: threads (${threads}) is not an integer from 1 to 256`,
    );
  }
  await using one = await openWasm({ threads: 1 });
  assertEquals([one.kind, one.threads], ["wasm", 1]);
  assertMatch(one.description, /^CPU, 1 thread, (relaxed )?SIMD$/);
  await using three = await openWasm({ threads: 3, build: "strict" });
  assertEquals([three.threads, three.build], [3, "strict"]);
  assertEquals(three.description, "CPU, 3 threads, SIMD");
});

Deno.test("The CPU engine has a thread for each core unless told otherwise", async () => {
  await using backend = await openWasm();
  assertEquals(backend.threads, navigator.hardwareConcurrency);
});

Deno.test("The CPU engine runs on one thread where memory is not shared", async () => {
  await using backend = await openWasm({ threads: 4, shared: false });
  assertEquals(backend.threads, 1);
  assertMatch(
    backend.description,
    /^CPU, 1 thread \(memory is not shared, as asked\)/,
  );
});

/** Rows, inputs and outputs of a linear map. */
const [M, K, N] = [150, 96, 200];

/** y = x · wᵀ + b, z = y + y, dw = zᵀ · x, db += column sums of z, partial = squares of z: all with enough work to be shared. */
const plan: Plan = {
  name: "several",
  buffers: [
    buffer("x", "input", M * K),
    buffer("w", "store", N * K),
    buffer("b", "store", N),
    buffer("y", "output", M * N),
    buffer("z", "output", M * N),
    buffer("db", "output", N),
    buffer("partial", "output", 7),
    buffer("dw", "output", N * K),
  ],
  dispatches: [
    {
      kernel: "matmul",
      outputs: [whole(3, M * N)],
      inputs: [whole(0, M * K), whole(1, N * K), whole(2, N)],
      dims: {
        ...plainProduct,
        ...{ form: "nt", M, N, K, bias: true },
      },
      label: "y",
    },
    {
      kernel: "add",
      outputs: [whole(4, M * N)],
      inputs: [whole(3, M * N), whole(3, M * N)],
      dims: { n: M * N },
      label: "z",
    },
    {
      kernel: "matmul",
      outputs: [whole(7, N * K), whole(5, N)],
      inputs: [whole(4, M * N), whole(0, M * K)],
      dims: {
        ...plainProduct,
        ...{ form: "tn", M: N, N: K, K: M, sums: true },
      },
      label: "dw and db",
    },
    {
      kernel: "squareSum",
      outputs: [whole(6, 7)],
      inputs: [whole(4, M * N)],
      dims: { n: M * N, parts: 7 },
      label: "partial",
    },
  ],
  phases: {},
};

function whole(buffer: number, length: number) {
  return { buffer, offset: 0, length };
}

for (const build of ["relaxed", "strict"] as const) {
  Deno.test(`The CPU engine computes the same bits with any number of threads, ${build}`, async () => {
    const results = [];
    for (const threads of [1, 2, 4]) {
      await using backend = await openWasm({ threads, build });
      const program = await backend.compile(plan, new Map());
      for (const name of ["x", "w", "b"]) {
        const target = program.buffer(name);
        target.write(normals(name, target.spec.length));
      }
      // Again and again: other threads take other units.
      for (let i = 0; i < 20; i++) {
        program.buffer("db").write(new Float32Array(N));
        program.run();
        results.push(
          await Promise.all(
            ["y", "z", "dw", "db", "partial"].map((name) =>
              program.buffer(name).read()
            ),
          ),
        );
      }
    }
    for (const result of results) assertEquals(result, results[0]);
  });
}

/** Units of a copy that takes long enough for a worker to wake up. */
const UNITS = 512;
const LENGTH = 4096 * UNITS;

const long: Plan = {
  name: "long",
  buffers: [buffer("x", "input", LENGTH), buffer("y", "output", LENGTH)],
  dispatches: [{
    kernel: "copy",
    outputs: [whole(1, LENGTH)],
    inputs: [whole(0, LENGTH)],
    dims: { n: LENGTH },
    label: "long",
  }],
  phases: {},
};

/** A backend with one worker, a program on it, and the words of memory from the program's only record on. */
async function openLong() {
  const backend = await openWasm({ threads: 2 });
  const program = await backend.compile(long, new Map());
  const [x, y] = ["x", "y"].map((name) =>
    program.buffer(name) as WasmBuffer
  ) as [WasmBuffer, WasmBuffer];
  const { memory } = x.backend;
  const words = memory.i32(0, memory.i32(0, 1).buffer.byteLength / 4);
  const wanted = [y.at, x.at, LENGTH];
  const first = words.findIndex((_, i) =>
    i >= HEAP / 4 && wanted.every((word, j) => words[i + j] === word)
  );
  const at = 4 * first - RECORD_ARGUMENTS;
  const record = words.subarray(at / 4, (at + RECORD_BYTES) / 4);
  assertEquals(record[RECORD_KERNEL / 4], COPY);
  assertEquals(record[RECORD_UNITS / 4], UNITS);
  return { backend, program, words, record, at };
}

/** Nothing works any longer, nothing hangs, and all can be put away. */
async function assertLost(
  backend: WasmBackend,
  program: WasmProgram,
  reason: RegExp,
): Promise<void> {
  const { message } = assertThrows(() => program.run(), DeviceLostError);
  assertMatch(message, /^Cannot run long: /);
  assertMatch(message, reason);
  const y = program.buffer("y");
  assertThrows(() => program.profile(), DeviceLostError);
  assertThrows(() => y.write([1]), DeviceLostError, "Cannot write y");
  await assertRejects(() => y.read(), DeviceLostError, "Cannot read y");
  await assertRejects(() => backend.finish(), DeviceLostError);
  await assertRejects(() => backend.compile(sums, new Map()), DeviceLostError);
  await assertRejects(
    () => backend.createStore(buffer("s", "store")),
    DeviceLostError,
    "Cannot allocate s",
  );
  program.destroy();
  await backend[Symbol.asyncDispose]();
  assertEquals(backend.allocatedBytes, 0);
}

Deno.test("A trap in every thread loses the CPU engine, with a reason", async () => {
  const { backend, program, record } = await openLong();
  record[RECORD_KERNEL / 4] = 0;
  await assertLost(backend, program, /broke down/);
});

Deno.test("A trap in one thread during a run loses the CPU engine, with a reason", async () => {
  const { backend, program, words, record } = await openLong();
  // The first half of the units reads what there is; the second, which the worker takes if it
  // wakes up in time, reads beyond all memory.
  record[RECORD_GRAIN / 4] = UNITS / 2;
  record[RECORD_ARGUMENTS / 4 + 1] = words.byteLength - 2 * LENGTH;
  await assertLost(backend, program, /broke down/);
});

Deno.test("A trap in a worker alone loses the CPU engine, with the worker's reason", async () => {
  const { backend, program, words, record, at } = await openLong();
  record[RECORD_KERNEL / 4] = 0;
  // A job in which the calling thread takes no part.
  words[CONTROL_FROM / 4] = at;
  words[CONTROL_TO / 4] = at + RECORD_BYTES;
  words[CONTROL_ACTIVE / 4] = 1;
  Atomics.add(words, CONTROL_JOB / 4, 1);
  Atomics.notify(words, CONTROL_JOB / 4);
  // Told between runs; at most a second, in steps.
  const told = () => backend.finish().then(() => false, () => true);
  for (let i = 0; i < 200 && !await told(); i++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await assertLost(backend, program, /a worker failed: .*unreachable/);
});

Deno.test("Disposing of the CPU engine does not wait for a worker that is gone", async () => {
  const { Worker } = globalThis;
  const started: Worker[] = [];
  globalThis.Worker = class extends Worker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      started.push(this);
    }
  };
  try {
    const backend = await openWasm({ threads: 2 });
    assertEquals(started.length, 1);
    started[0]!.terminate();
    await backend[Symbol.asyncDispose]();
  } finally {
    globalThis.Worker = Worker;
  }
});
