/**
 * The WebGPU backend as an executor: order, phases, reads in flight, shared
 * stores, the account of memory. Whether kernels compute the right numbers is the
 * conformance suite's question.
 */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  extensions,
  type Feature,
  MATRICES,
} from "../../kernels/wgsl/kernel.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { lowerPlan } from "../../lib/backends/webgpu/lowering.ts";
import { PipelineCache } from "../../lib/backends/webgpu/pipelines.ts";
import { productPlan } from "../../lib/checks/workloads.ts";
import { presets } from "../../lib/config/presets.ts";
import { trainConfig } from "../../lib/config/train.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { internalsOf } from "../../lib/model/internals.ts";
import { Model } from "../../lib/model/model.ts";
import { cachedPlan } from "../../lib/model/plans.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { gpuTest, skipped, suffix } from "./adapter.ts";
import { asHardware, withDevices } from "./fake_adapter.ts";
import { buffer, filled, n, sums } from "../fixtures/sums.ts";
import { registerExecutor } from "../suites/executor.ts";

registerExecutor(`WebGPU${suffix}`, {
  open: () => openWebGpu({ adapter: "any" }),
  ignore: skipped,
});

gpuTest(
  "WebGPU says which adapter it uses and whether it is software",
  async () => {
    await using backend = await openWebGpu({ adapter: "any" });
    assertEquals(backend.kind, "webgpu");
    assert(backend.description.length > 0);
    assertEquals(backend.description.endsWith(" (software)"), backend.software);
  },
);

gpuTest(
  "Hardware has tiles in workgroup memory, software in registers",
  async () => {
    await using plain = await openWebGpu({ adapter: "any" });
    const tiling = plain.software ? "register" : "workgroup";
    assertEquals(plain.target.tiling, tiling);
    await using hardware = await asHardware(() => openWebGpu());
    assertEquals(hardware.target.tiling, "workgroup");
  },
);

gpuTest("WebGPU asks for all that the adapter allows", async () => {
  const adapter = (await navigator.gpu.requestAdapter())!;
  await using backend = await openWebGpu({ adapter: "any" });
  for (
    const name of [
      ...["maxBufferSize", "maxStorageBufferBindingSize"],
      ...["maxStorageBuffersPerShaderStage", "maxComputeWorkgroupStorageSize"],
      ...["maxComputeInvocationsPerWorkgroup", "maxComputeWorkgroupSizeX"],
      ...["maxComputeWorkgroupsPerDimension"],
    ] as (keyof GPUSupportedLimits)[]
  ) assertEquals(backend.device.limits[name], adapter.limits[name], name);
});

gpuTest("WebGPU's kernels may use the features of the adapter", async () => {
  const adapter = (await navigator.gpu.requestAdapter())!;
  await using backend = await openWebGpu({ adapter: "any" });
  const usual = Object.keys(extensions).filter((name) => name !== MATRICES);
  for (const feature of usual as (Feature & GPUFeatureName)[]) {
    const has = adapter.features.has(feature);
    assertEquals(backend.target.features.includes(feature), has, feature);
    assertEquals(backend.device.features.has(feature), has, feature);
  }
});

gpuTest(
  "A training step and a block of tokens are each a submission with one compute pass",
  async () => {
    const counts = { submissions: 0, passes: 0, launches: 0 };
    const counting = (device: GPUDevice) => {
      const create = device.createCommandEncoder.bind(device);
      device.createCommandEncoder = (descriptor) => {
        const encoder = create(descriptor);
        const begin = encoder.beginComputePass.bind(encoder);
        encoder.beginComputePass = (descriptor) => {
          counts.passes++;
          const pass = begin(descriptor);
          const dispatch = pass.dispatchWorkgroups.bind(pass);
          pass.dispatchWorkgroups = (...sizes) => {
            counts.launches++;
            dispatch(...sizes);
          };
          return pass;
        };
        return encoder;
      };
      const submit = device.queue.submit.bind(device.queue);
      device.queue.submit = (buffers) => {
        counts.submissions++;
        submit(buffers);
      };
    };
    const used = async (work: () => Promise<unknown>) => {
      Object.assign(counts, { submissions: 0, passes: 0, launches: 0 });
      await work();
      return { ...counts };
    };
    await using backend = await withDevices(
      counting,
      () => openWebGpu({ adapter: "any" }),
    );
    const train = trainConfig(presets.tiny.train);
    const shape = { B: train.batchSize, T: presets.tiny.model.blockSize! };
    await using model = await Model.create({
      ...presets.tiny.model,
      vocabSize: 65,
    }, { backend });
    const launchesOf = (plan: Plan) =>
      lowerPlan(plan, backend.target, backend.device.limits).passes.length;

    // The first two blocks have 4 tokens each. A second submission copies them for the host. A block fetches only its first token.
    const decode = cachedPlan(model.config, { B: 1, T: 1 }, { chooses: true });
    const launches = 2 * (4 * launchesOf(decode) - 3);
    const tokens = model.generate([1], { maxNewTokens: 60 });
    assertEquals(await used(() => tokens.next()), {
      ...{ submissions: 4, passes: 2, launches },
    });
    for (let i = 0; i < 3; i++) {
      assertEquals((await used(() => tokens.next())).submissions, 0);
    }
    await tokens.return();

    const plan = trainPlan(model.config, train, shape);
    const program = await backend.compile(plan, internalsOf(model).stores);
    const step = await used(async () => {
      program.run();
      await backend.finish();
    });
    assertEquals(step, {
      ...{ submissions: 1, passes: 1, launches: launchesOf(plan) },
    });
  },
);

gpuTest(
  "WebGPU reads and writes stretches, and words as they are",
  async () => {
    await using backend = await openWebGpu({ adapter: "any" });
    const store = await backend.createStore(buffer("s", "store"));
    store.write([3, 4], 2);
    store.write(new Float64Array([0.1]), 7);
    const third = Math.fround(0.1);
    assertEquals([...await store.read()], [0, 0, 3, 4, 0, 0, 0, third]);
    assertEquals([...await store.read(2, 3)], [3, 4, 0]);
    assertEquals((await store.read(3, 0)).length, 0);
    const key = await backend.createStore({
      ...buffer("key", "store"),
      dtype: "i32",
    });
    key.write([0xffffffff, -5]); // seeds are unsigned, memory is bits
    assertEquals([...await key.read(0, 2)], [-1, -5]);
  },
);

gpuTest(
  "WebGPU shares stores between programs",
  async () => {
    await using backend = await openWebGpu({ adapter: "any" });
    const stores = new Map();
    const first = await backend.compile(sums, stores);
    const second = await backend.compile(sums, stores);
    first.buffer("b").write(filled(5));
    second.run(["forward"]);
    assertEquals([...await second.buffer("z").read()], filled(10));
  },
);

gpuTest("WebGPU accounts for memory and gives it back", async () => {
  await using backend = await openWebGpu({ adapter: "any" });
  assertEquals(backend.allocatedBytes, 0);
  const stores = new Map();
  const program = await backend.compile(sums, stores);
  assertEquals(backend.allocatedBytes, 4 * n * 4);
  program.destroy();
  program.destroy();
  assertEquals(backend.allocatedBytes, n * 4);
  assertThrows(() => program.run(), TypeError, "was destroyed");
  stores.get("b").destroy();
  assertEquals(backend.allocatedBytes, 0);
});

gpuTest(
  "WebGPU measures what a plan takes, with its private buffers",
  async () => {
    await using backend = await openWebGpu({ adapter: "any" });
    const dims = { form: "tn", M: 3, N: 2, K: 70_000 } as const;
    const plan = productPlan(dims); // in slices, which a private buffer holds
    const needed = backend.measure([plan]);
    const program = await backend.compile(plan, new Map());
    assertEquals(backend.allocatedBytes, needed);
    const own = plan.buffers.reduce((sum, { length }) => sum + 4 * length, 0);
    assert(needed > own);
    program.destroy();
    assertEquals(backend.allocatedBytes, 0);
  },
);

gpuTest("WebGPU holds no more memory after many runs", async () => {
  await using backend = await openWebGpu({ adapter: "any" });
  const program = await backend.compile(sums, new Map());
  const round = async () => {
    for (let step = 0; step < 50; step++) {
      program.buffer("a").write(filled(step));
      program.run();
    }
    // Two at once, so that the pool has to hold two.
    await Promise.all([program.buffer("z").read(), program.buffer("b").read()]);
  };
  for (let i = 0; i < 4; i++) await round();
  const before = backend.allocatedBytes;
  const resident = Deno.memoryUsage().rss;
  for (let i = 0; i < 40; i++) await round();
  assertEquals(backend.allocatedBytes, before);
  // 2000 runs. Keeping a bind group for each would take 20 MB and more; wrappers that await
  // collection take up to 9.
  const grown = Deno.memoryUsage().rss - resident;
  assert(grown < 16e6, `resident memory grew by ${grown} bytes`);
});

gpuTest("WebGPU compiles each text once", async () => {
  await using backend = await openWebGpu({ adapter: "any" });
  const pipelines = new PipelineCache(backend.device);
  const pass = {
    code: "@compute @workgroup_size(1) fn main() {}",
    bindings: [],
    workgroups: [1, 1, 1],
  } as const;
  const first = pipelines.get(pass, "one");
  assertStrictEquals(await pipelines.get({ ...pass }, "two"), await first);
});

gpuTest("WebGPU times each dispatch when asked to", async () => {
  await using backend = await openWebGpu({ adapter: "any", profile: true });
  const program = await backend.compile(sums, new Map());
  assertEquals(await program.profile(), []);
  program.run(["forward"]);
  const times = await program.profile();
  assertEquals(times.map(({ label }) => label), ["sum 2", "sum 3"]);
  for (const { kernel, nanoseconds } of times) {
    assertEquals(kernel, "add");
    // Timestamps have a grain; a second would be absurd.
    assert(nanoseconds >= 0 && nanoseconds < 1e9, `${nanoseconds} ns`);
  }
  program.buffer("a").write(filled(1));
  program.run();
  assertEquals([...await program.buffer("z").read()], filled(2));
});

gpuTest("WebGPU refuses to profile unless it was opened for that", async () => {
  await using backend = await openWebGpu({ adapter: "any" });
  const program = await backend.compile(sums, new Map());
  await assertRejects(() => program.profile(), TypeError, "without profile");
});

gpuTest(
  "WebGPU launches each pass of a training step once, all in one compute pass",
  async () => {
    const { model: options, train: trained } = presets.tiny;
    await using backend = await openWebGpu({ adapter: "any" });
    await using model = await Model.create({ ...options, vocabSize: 65 }, {
      backend,
    });
    const train = trainConfig(trained);
    const shape = { B: train.batchSize, T: model.config.blockSize };
    const plan = trainPlan(model.config, train, shape);
    const program = await backend.compile(plan, internalsOf(model).stores);
    const { prototype: pass } = GPUComputePassEncoder;
    const { prototype: encoder } = GPUCommandEncoder;
    const { dispatchWorkgroups } = pass;
    const { beginComputePass } = encoder;
    let [launches, passes] = [0, 0];
    pass.dispatchWorkgroups = function (...grid) {
      launches++;
      return dispatchWorkgroups.apply(this, grid);
    };
    encoder.beginComputePass = function (...descriptor) {
      passes++;
      return beginComputePass.apply(this, descriptor);
    };
    try {
      program.run();
      await backend.finish();
    } finally {
      pass.dispatchWorkgroups = dispatchWorkgroups;
      encoder.beginComputePass = beginComputePass;
    }
    const { device: { limits } } = backend;
    const lowered = lowerPlan(plan, backend.target, limits);
    assertEquals([launches, passes], [lowered.passes.length, 1]);
  },
);
