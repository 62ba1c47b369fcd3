/**
 * The conformance suite itself: it accepts the reference rounded to 32 bits, and it notices
 * each kind of fault it is there for, tried on a backend that falsifies what is read from it.
 */

import { assertEquals, assertRejects } from "@std/assert";
import { type KernelName, signatures } from "../../kernels/vocabulary.ts";
import type {
  DeviceBuffer,
  Executor,
  Numbers,
  Program,
} from "../../lib/backends/backend.ts";
import { openReference } from "../../lib/backends/reference.ts";
import { checkCase } from "../../lib/checks/conformance.ts";
import type { Case } from "../../lib/checks/conformance_case.ts";
import { conformanceCases } from "../../lib/checks/conformance_cases.ts";

/** Changes what is read of a buffer after the run of this number, 0 or 1. */
type Fault = (numbers: Numbers, buffer: string, run: number) => void;

/** The reference, read in 32 bits, with a fault. */
function openFaulty(fault: Fault): Executor {
  const backend = openReference();
  const compile: Executor["compile"] = async (plan, stores) => {
    const program = await backend.compile(plan, stores);
    let runs = 0;
    const buffer = (name: string): DeviceBuffer => {
      const buffer = program.buffer(name);
      const read = async () => {
        const numbers = await buffer.read();
        const narrow = numbers instanceof Float64Array
          ? Float32Array.from(numbers)
          : numbers;
        fault(narrow, name, runs - 1);
        return narrow;
      };
      return {
        spec: buffer.spec,
        write: (data, offset) => buffer.write(data, offset),
        read,
        copy: (source, range) => buffer.copy(source, range),
        destroy: () => buffer.destroy(),
      };
    };
    const run = () => {
      runs++;
      program.run();
    };
    return { plan, buffer, run, destroy: () => program.destroy() } as Program;
  };
  return {
    ...{ kind: "reference", description: "faulty", blas: undefined, compile },
    ...{ allocatedBytes: 0, room: undefined, halves: true },
    createStore: (spec) => backend.createStore(spec),
    measure: (plans, stores) => backend.measure(plans, stores),
    finish: () => backend.finish(),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  };
}

/** The first case of a kernel whose note or dims fit. */
function find(kernel: KernelName, dims: object = {}): Case {
  const wanted = Object.entries(dims);
  const found = conformanceCases.find((test) =>
    test.kernel === kernel &&
    wanted.every(([name, value]) =>
      (test.dims as unknown as Record<string, unknown>)[name] === value
    )
  );
  if (!found) throw new RangeError(`Cannot find a case of ${kernel}`);
  return found;
}

async function check(test: Case, fault: Fault): Promise<void> {
  await using backend = openFaulty(fault);
  await checkCase(backend, test);
}

/** Puts a number into an element of an output, in both placements and in both runs. */
function put(
  output: string,
  index: number,
  value: (was: number) => number,
): Fault {
  return (numbers, buffer) => {
    if (buffer === `own ${output}`) numbers[index] = value(numbers[index]!);
    if (buffer === `store ${output}`) {
      numbers[64 + index] = value(numbers[64 + index]!);
    }
  };
}

Deno.test("Conformance has cases for every kernel of the vocabulary", () => {
  const covered = new Set(conformanceCases.map(({ kernel }) => kernel));
  assertEquals([...covered].sort(), Object.keys(signatures).sort());
});

Deno.test("Conformance accepts the reference rounded to 32 bits", async () => {
  for (const kernel of Object.keys(signatures) as KernelName[]) {
    await check(find(kernel), () => {});
  }
});

Deno.test("Conformance notices an element beyond its tolerance, and says which", async () => {
  await assertRejects(
    () => check(find("matmul", { K: 33 }), put("y", 7, (y) => y + 1e-4)),
    Error,
    "y[7] is",
  );
});

Deno.test("Conformance measures an error relative to its part of the output", async () => {
  const one = find("attentionBackward", { T: 1 });
  const test: Case = { ...one, values: { dy: [1000] } }; // The value's part alone is large.
  await check(test, put("dqkv", 2, (x) => x + 1e-3));
  await assertRejects(
    () => check(test, put("dqkv", 0, (x) => x + 1e-3)),
    Error,
    "dqkv[0] is",
  );
});

Deno.test("Conformance notices NaN in place of a number, and a number in place of infinity", async () => {
  const one = find("matmul", { K: 33 });
  await assertRejects(() => check(one, put("y", 3, () => NaN)), Error, "y[3]");
  const infinite = find("clip", { parts: 3 });
  const finite = put("metrics", 4 * 7 + 1, () => 1);
  await assertRejects(() => check(infinite, finite), Error, "metrics[29]");
});

Deno.test("Conformance notices a kept element that dropout should have dropped", async () => {
  const fault: Fault = (numbers, buffer) => {
    if (buffer.endsWith("y")) numbers[numbers.indexOf(0)] = 1e-12;
  };
  await assertRejects(
    () => check(find("dropout", { n: 4096 }), fault),
    Error,
    "expected 0",
  );
});

Deno.test("Conformance notices a write to a part of the output that is not the kernel's", async () => {
  const test = find("lossSum", { slots: 8 });
  const fault = put("losses", 0, (x) => x * (1 + 2 ** -23)); // One bit of another slot.
  await assertRejects(() => check(test, fault), Error, "losses[0]");
});

Deno.test("Conformance notices a write beside the operands", async () => {
  for (const index of [63, 64 + 17 * 65]) {
    const fault: Fault = (numbers, buffer) => {
      if (buffer === "store y") numbers[index] = 0;
    };
    await assertRejects(
      () => check(find("matmul", { K: 33 }), fault),
      Error,
      "the margin of store y",
    );
  }
});

Deno.test("Conformance notices a changed input", async () => {
  const fault: Fault = (numbers, buffer) => {
    if (buffer === "own b") numbers[5]! += 1;
  };
  await assertRejects(
    () => check(find("matmul", { K: 33 }), fault),
    Error,
    "own b: element 5",
  );
});

Deno.test("Conformance notices bits that differ in a second run or at an offset", async () => {
  const test = find("matmul", { K: 33 });
  const change = (numbers: Numbers, index: number) => {
    numbers[index] = numbers[index]! * (1 + 2 ** -23);
  };
  await assertRejects(
    () =>
      check(test, (numbers, buffer, run) => {
        if (buffer === "own y" && run === 1) change(numbers, 9);
      }),
    Error,
    "own y, run again: element 9",
  );
  await assertRejects(
    () =>
      check(test, (numbers, buffer) => {
        if (buffer === "store y") change(numbers, 64 + 9);
      }),
    Error,
    "y at an offset: element 9",
  );
});
