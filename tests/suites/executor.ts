/** Executors: the order of writes, runs and reads; refusals in the same words on every backend, which leave nothing allocated. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  DeviceLostError,
  OutOfMemoryError,
  type Stores,
} from "../../lib/backends/backend.ts";
import type { OpenBackend } from "../../lib/backends/program.ts";
import type { Dispatch } from "../../lib/graph/plan.ts";
import { buffer, filled, n, sums } from "../fixtures/sums.ts";

/** How {@linkcode registerExecutor} goes about it. */
export interface ExecutorOptions {
  readonly open: () => Promise<OpenBackend>;
  /** Skips the tests. The name says why. */
  readonly ignore?: boolean;
}

/**
 * Registers the tests on a backend.
 *
 * @param name what the backend is called in the tests' names
 */
export function registerExecutor(
  name: string,
  { open, ignore = false }: ExecutorOptions,
): void {
  const test = (
    what: string,
    work: (backend: OpenBackend) => Promise<unknown>,
  ) =>
    Deno.test({
      name: `${what} on ${name}`,
      ignore,
      fn: async () => {
        await using backend = await open();
        await work(backend);
      },
    });

  test("Dispatches run in order, and phases as asked", async (backend) => {
    const program = await backend.compile(sums, new Map());
    program.buffer("a").write(filled(1));
    program.run(); // middle = 1, z = 2, b = 2
    assertEquals([...await program.buffer("z").read()], filled(2));
    assertEquals([...await program.buffer("b").read()], filled(2));
    program.run(["forward"]); // middle = 3, z = 6
    assertEquals([...await program.buffer("z").read()], filled(6));
    assertEquals([...await program.buffer("b").read()], filled(2));
    program.run(["learn", "middle", "z"]); // b = 4, middle = 5, z = 10
    assertEquals([...await program.buffer("z").read()], filled(10));
    assertThrows(
      () => program.run(["backward"]),
      RangeError,
      "Cannot run phase backward: plan sums has forward, learn, middle, z",
    );
  });

  test("Moments of gradients that have become 0 end as 0, not as subnormal numbers", async (backend) => {
    // One more than a vector has, twice.
    const first = [1e-10, -2e-19, 1.1e-19, -1e-19, 1e-40, -3, 1e-30, 1e-38, 9];
    const second = first.map((x) => Math.abs(x));
    const store = (name: string, length = first.length) =>
      ({ name, kind: "store", dtype: "f32", length }) as const;
    const whole = ({ length }: { length: number }, buffer: number) => ({
      ...{ buffer, offset: 0, length },
    });
    const buffers = [
      ...["direction", "grads", "m", "params", "first", "second"]
        .map((name) => store(name)),
      store("clip", 2),
      store("schedule", 3),
    ];
    const operands = buffers.map(whole);
    const at = (...indices: number[]) => indices.map((i) => operands[i]!);
    const n = first.length;
    const stores: Stores = new Map();
    const program = await backend.compile({
      name: "moments",
      buffers,
      dispatches: [
        {
          kernel: "momentum",
          dims: { count: 1, n, stride: 0, momentum: 0.9, nesterov: false },
          outputs: at(0, 1, 2),
          inputs: at(6),
          label: "momentum",
        },
        {
          kernel: "adamw",
          dims: {
            ...{ n, decayed: 0, beta1: 0.9, beta2: 0.9 },
            ...{ eps: 1e-8, weightDecay: 0 },
          },
          outputs: at(3, 1, 4, 5),
          inputs: at(6, 7),
          label: "adamw",
        },
      ],
      phases: {},
    }, stores);
    stores.get("m")!.write(first);
    stores.get("first")!.write(first);
    stores.get("second")!.write(second);
    stores.get("clip")!.write([1, 1]);
    stores.get("schedule")!.write([1e-3, 1, 1]);
    program.run();
    const isZero = async (name: string) =>
      Array.from(await stores.get(name)!.read(), (x) => x === 0);
    // 0.9 times the numbers; 2^-63 is 1.08e-19 and 2^-126 is 1.18e-38.
    const gone = [false, false, true, true, true, false, true, true, false];
    assertEquals(await isZero("m"), gone);
    assertEquals(await isZero("direction"), gone);
    const subnormal = first.map((x) => Math.abs(x) < 1e-37);
    assertEquals(await isZero("first"), subnormal);
    assertEquals(await isZero("second"), subnormal);
  });

  test("Writes, runs and reads keep the order of the calls", async (backend) => {
    const program = await backend.compile(sums, new Map());
    const reads = [];
    for (let value = 1; value <= 20; value++) {
      program.buffer("a").write(filled(value));
      program.run(["forward"]);
      reads.push(program.buffer("z").read());
    }
    const results = await Promise.all(reads);
    results.forEach((z, i) => assertEquals([...z], filled(2 * (i + 1))));
  });

  test("Copies take what earlier runs computed, and later runs read them", async (backend) => {
    const program = await backend.compile(sums, new Map());
    const [a, b, z] = ["a", "b", "z"].map((name) => program.buffer(name));
    a!.write(filled(1));
    program.run(["forward"]); // z = 2
    b!.copy(z!, { from: 1, to: 5, length: 3 });
    program.run(["forward"]);
    assertEquals([...await b!.read()], [0, 0, 0, 0, 0, 2, 2, 2]);
    assertEquals([...await z!.read()], [2, 2, 2, 2, 2, 6, 6, 6]);
    for (
      const [from, to, message] of [
        [7, 0, "read z"],
        [0, 7, "write b"],
      ] as const
    ) {
      assertThrows(
        () => b!.copy(z!, { from, to, length: 2 }),
        RangeError,
        `Cannot ${message}: elements 7 to 9 are not within its 8`,
      );
    }
  });

  test("Elements, buffers and phases that do not exist are refused", async (backend) => {
    const program = await backend.compile(sums, new Map());
    const a = program.buffer("a");
    assertThrows(
      () => a.write([1, 2], n - 1),
      RangeError,
      "Cannot write a: elements 7 to 9 are not within its 8",
    );
    assertThrows(() => a.write([1], -1), RangeError, "elements -1 to 0");
    for (const [offset, length] of [[-1, 2], [NaN, 1], [2, n], [n, -1]]) {
      await assertRejects(
        () => a.read(offset, length),
        RangeError,
        `Cannot read a: elements ${offset} to `,
      );
    }
    for (const absent of ["middle", "q"]) {
      assertThrows(
        () => program.buffer(absent),
        RangeError,
        `Cannot find buffer ${absent}: plan sums has a, b, z`,
      );
    }
    assertThrows(
      () => program.run(["forward", "backward"]),
      RangeError,
      "Cannot run phase backward: plan sums has forward, learn, middle, z",
    );
    const plan = { ...sums, name: "whole", phases: {} };
    const whole = await backend.compile(plan, new Map());
    const message = "Cannot run phase forward: plan whole has none";
    assertThrows(() => whole.run(["forward"]), RangeError, message);
  });

  test("Operands that reach out of their buffer are refused", async (backend) => {
    const beyond = { buffer: 0, offset: 4, length: n };
    const whole = { buffer: 3, offset: 0, length: n };
    for (const [outputs, inputs] of [[whole, beyond], [beyond, whole]]) {
      const dispatch: Dispatch = {
        kernel: "copy",
        outputs: [outputs!],
        inputs: [inputs!],
        dims: { n },
        label: "shifted",
      };
      const plan = { ...sums, dispatches: [dispatch], phases: {} };
      await assertRejects(
        () => backend.compile(plan, new Map()),
        RangeError,
        "Cannot run copy (shifted): elements 4 to 12 are not within the 8 of a",
      );
    }
  });

  test("Stores that do not fit are refused, and no other is made", async (backend) => {
    const plan = {
      ...sums,
      buffers: [...sums.buffers, buffer("new", "store")],
    };
    const longer = await backend.createStore(buffer("b", "store", n + 1));
    const integers = await backend.createStore({
      ...longer.spec,
      dtype: "i32",
    });
    await using other = await open();
    const foreign = await other.createStore(buffer("b", "store"));
    const before = backend.allocatedBytes;
    const refusals = [
      [longer, RangeError, "it holds 9 f32 and the plan wants 8 f32"],
      [integers, RangeError, "it holds 9 i32 and the plan wants 8 f32"],
      [foreign, TypeError, "it belongs to another backend"],
    ] as const;
    for (const [store, kind, reason] of refusals) {
      const stores: Stores = new Map([["b", store]]);
      await assertRejects(
        () => backend.compile(plan, stores),
        kind,
        `Cannot use store b: ${reason}`,
      );
      assertEquals([...stores.keys()], ["b"]);
      assertEquals(
        backend.allocatedBytes,
        before,
        "a refused plan keeps memory",
      );
    }
  });

  for (const refused of ["b", "middle", "z"]) {
    test(`Nothing is left of a plan whose ${refused} is refused`, async (backend) => {
      const stores: Stores = new Map();
      const plan = {
        ...sums,
        buffers: [buffer("first", "store"), ...sums.buffers],
        dispatches: [],
        phases: {},
      };
      const before = backend.allocatedBytes;
      backend.allocate = (spec) => {
        if (spec.name !== refused) {
          return Object.getPrototypeOf(backend).allocate.call(backend, spec);
        }
        const sizes = { needed: 32, room: 0 };
        throw new OutOfMemoryError(`allocate ${spec.name}`, sizes);
      };
      await assertRejects(
        () => backend.compile(plan, stores),
        OutOfMemoryError,
        `Cannot allocate ${refused}`,
      );
      assertEquals([...stores.keys()], []);
      assertEquals(backend.allocatedBytes, before);
      Reflect.deleteProperty(backend, "allocate");
      const program = await backend.compile(sums, stores);
      program.buffer("a").write(filled(1));
      program.run(["forward"]);
      assertEquals([...await program.buffer("z").read()], filled(2));
    });
  }

  test("Destroyed programs and stores are out of reach", async (backend) => {
    const stores: Stores = new Map();
    const program = await backend.compile(sums, stores);
    const [a, b] = [program.buffer("a"), stores.get("b")!];
    b.destroy();
    assertThrows(
      () => program.run(),
      TypeError,
      "Cannot run sums: b was destroyed",
    );
    await assertRejects(
      () => backend.compile(sums, stores),
      TypeError,
      "Cannot use store b: b was destroyed",
    );
    program.destroy();
    program.destroy();
    assertThrows(
      () => program.run(),
      TypeError,
      "Cannot run sums: the program was destroyed",
    );
    const other = await backend.createStore(buffer("other", "store"));
    const before = backend.allocatedBytes;
    b.destroy();
    assertEquals(backend.allocatedBytes, before, "other still has its memory");
    for (const gone of [a, b]) {
      const message = `${gone.spec.name} was destroyed`;
      assertThrows(() => gone.write([7]), TypeError, message);
      await assertRejects(() => gone.read(), TypeError, message);
    }
    assertEquals([...await other.read()], filled(0));
  });

  test("All work is refused after the end", async (backend) => {
    const program = await backend.compile(sums, new Map());
    const z = program.buffer("z");
    const reading = z.read();
    const disposing = backend[Symbol.asyncDispose]();
    assertThrows(() => program.run(), DeviceLostError, "was disposed");
    assertEquals((await reading).length, n);
    await disposing;
    await backend[Symbol.asyncDispose]();
    assertEquals(backend.allocatedBytes, 0);
    assertThrows(() => program.run(), DeviceLostError, "Cannot run sums");
    assertThrows(() => z.write([1]), DeviceLostError, "Cannot write z");
    await assertRejects(() => z.read(), DeviceLostError, "Cannot read z");
    await assertRejects(
      () => backend.createStore(buffer("s", "store")),
      DeviceLostError,
      "Cannot allocate s: the backend was disposed",
    );
    await assertRejects(() => backend.finish(), DeviceLostError);
    await assertRejects(
      () => backend.compile(sums, new Map()),
      DeviceLostError,
      "Cannot compile sums",
    );
    program.destroy();
    assertEquals(backend.allocatedBytes, 0);
  });
}
