/** What the WebGPU backend refuses, and how it tells of a device that fails. */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { DeviceLostError, NoAdapterError } from "../../lib/backends/backend.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { PipelineCache } from "../../lib/backends/webgpu/pipelines.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { gpuTest } from "./adapter.ts";
import { add, buffer, filled, n, sums } from "../fixtures/sums.ts";

gpuTest("WebGPU opens a software adapter only when any will do", async () => {
  await using backend = await openWebGpu({ adapter: "any" });
  if (!backend.software) {
    await using hardware = await openWebGpu();
    assert(!hardware.software);
    return;
  }
  const error = await assertRejects(() => openWebGpu(), NoAdapterError);
  const name = backend.description.replace(" (software)", "");
  assertStringIncludes(error.message, name);
  assertStringIncludes(error.hint, "software adapter");
});

gpuTest(
  "WebGPU asks for a fallback adapter only when any will do",
  async () => {
    const { gpu } = navigator;
    const requestAdapter: GPU["requestAdapter"] = (options) =>
      options?.forceFallbackAdapter
        ? gpu.requestAdapter()
        : Promise.resolve(null);
    Object.defineProperty(navigator, "gpu", {
      value: { requestAdapter },
      configurable: true,
    });
    try {
      await using backend = await openWebGpu({ adapter: "any" });
      assertEquals(backend.kind, "webgpu");
      const error = await assertRejects(() => openWebGpu(), NoAdapterError);
      assertStringIncludes(error.message, "there is no adapter");
    } finally {
      Reflect.deleteProperty(navigator, "gpu");
    }
  },
);

Deno.test("WebGPU is refused where the runtime has none", async () => {
  Object.defineProperty(navigator, "gpu", {
    value: undefined,
    configurable: true,
  });
  try {
    const error = await assertRejects(
      () => openWebGpu({ adapter: "any" }),
      NoAdapterError,
    );
    assertStringIncludes(error.message, "this runtime has none");
  } finally {
    // Uncovers the prototype's own.
    Reflect.deleteProperty(navigator, "gpu");
  }
});

gpuTest(
  "WebGPU refuses a plan that the adapter cannot hold, before allocating",
  async () => {
    await using backend = await openWebGpu({ adapter: "any" });
    const { maxBufferSize, maxStorageBufferBindingSize } =
      backend.device.limits;
    const tooLong = maxBufferSize / 4 + 1;
    const wholeBuffer: Plan = {
      ...sums,
      buffers: [...sums.buffers.slice(0, 3), buffer("z", "output", tooLong)],
    };
    await assertRejects(
      () => backend.compile(wholeBuffer, new Map()),
      RangeError,
      `Cannot allocate z: ${
        4 * tooLong
      } bytes are more than the ${maxBufferSize}`,
    );
    await assertRejects(
      () => backend.createStore(buffer("z", "store", tooLong)),
      RangeError,
      "Cannot allocate z",
    );
    const length = Math.floor(maxStorageBufferBindingSize / 4) + 1;
    if (length * 4 <= maxBufferSize) {
      const oneOperand: Plan = {
        name: "wide",
        buffers: ["x", "y", "z"].map((name) => buffer(name, "output", length)),
        dispatches: [add(2, [0, 1], length)],
        phases: {},
      };
      await assertRejects(
        () => backend.compile(oneOperand, new Map()),
        RangeError,
        `Cannot run add (sum 2): its y takes ${
          4 * length
        } bytes, more than the ${maxStorageBufferBindingSize} that this adapter binds`,
      );
    }
    assertEquals(backend.allocatedBytes, 0);
  },
);

gpuTest(
  "WebGPU refuses to read and write one buffer in a dispatch",
  async () => {
    await using backend = await openWebGpu({ adapter: "any" });
    await assertRejects(
      () =>
        backend.compile({ ...sums, dispatches: [add(3, [3, 0])] }, new Map()),
      Error,
      "Cannot run add (sum 3): it binds z twice (read_write, read)",
    );
  },
);

gpuTest(
  "WebGPU refuses operands outside their buffer, off the alignment or not of the kernel's length",
  async () => {
    await using backend = await openWebGpu({ adapter: "any" });
    const shift = (
      offset: number,
      length: number,
      dims = { n: length },
    ): Plan => ({
      ...sums,
      dispatches: [{
        kernel: "copy",
        outputs: [{ buffer: 3, offset: 0, length }],
        inputs: [{ buffer: 0, offset, length }],
        dims,
        label: "shifted",
      }],
      phases: {},
    });
    await assertRejects(
      () => backend.compile(shift(4, n), new Map()),
      RangeError,
      "Cannot run copy (shifted): elements 4 to 12 are not within the 8 of a",
    );
    await assertRejects(
      () => backend.compile(shift(1, 4), new Map()),
      RangeError,
      "byte offset 4 is not a multiple of",
    );
    await assertRejects(
      () => backend.compile(shift(0, 4, { n: 5 }), new Map()),
      RangeError,
      "Cannot run copy (shifted): y is f32[4], not f32[5]",
    );
  },
);

gpuTest(
  "WebGPU reports the compiler's words, the kernel and the label",
  async () => {
    await using backend = await openWebGpu({ adapter: "any" });
    const pipelines = new PipelineCache(backend.device);
    const pass = {
      code: "@compute @workgroup_size(1) fn main() { let x: f32 = nonsense; }",
      bindings: [],
      workgroups: [1, 1, 1],
    } as const;
    const error = await assertRejects(
      () => pipelines.get(pass, "matmul (h.0.attn)"),
      Error,
      "Cannot compile matmul (h.0.attn)",
    );
    assertStringIncludes(error.message, "nonsense");
    const unbound = {
      ...pass,
      code: `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(1) fn main() { x[0] = 1.0; }`,
    };
    await assertRejects(
      () => pipelines.get(unbound, "add"),
      Error,
      "Cannot compile add",
    );
    await backend.finish(); // what was reported is not reported again
  },
);

gpuTest(
  "WebGPU throws what nobody caught at the next read or finish",
  async () => {
    const backend = await openWebGpu({ adapter: "any" });
    const program = await backend.compile(sums, new Map());
    const size = backend.device.limits.maxBufferSize * 2;
    backend.device.createBuffer({ size, usage: GPUBufferUsage.STORAGE });
    await assertRejects(
      () => backend.finish(),
      Error,
      "Cannot go on with WebGPU",
    );
    await assertRejects(
      () => program.buffer("z").read(),
      Error,
      "Cannot go on with WebGPU",
    );
    await backend[Symbol.asyncDispose]();
  },
);

gpuTest(
  "WebGPU lets reads in flight finish when it is disposed of",
  async () => {
    const backend = await openWebGpu({ adapter: "any" });
    const program = await backend.compile(sums, new Map());
    program.buffer("a").write(filled(3));
    program.run(["forward"]);
    const reading = program.buffer("z").read();
    const disposing = backend[Symbol.asyncDispose]();
    assertThrows(() => program.run(), DeviceLostError, "was disposed");
    assertEquals([...await reading], filled(6));
    await disposing;
    await backend[Symbol.asyncDispose]();
    assertEquals(backend.allocatedBytes, 0);
  },
);

gpuTest("WebGPU notices that the device was lost", async () => {
  const backend = await openWebGpu({ adapter: "any" });
  const program = await backend.compile(sums, new Map());
  const z = program.buffer("z");
  const reading = assertRejects(() => z.read(), DeviceLostError);
  backend.device.destroy(); // as a driver's reset would
  await backend.device.lost;
  await reading;
  assertThrows(
    () => program.run(),
    DeviceLostError,
    "the WebGPU device was lost",
  );
  assertThrows(
    () => z.write([1]),
    DeviceLostError,
    "the WebGPU device was lost",
  );
  await assertRejects(
    () => z.read(),
    DeviceLostError,
    "the WebGPU device was lost",
  );
  await assertRejects(() => backend.finish(), DeviceLostError);
  await backend[Symbol.asyncDispose]();
});
