/**
 * Adapters with small limits: what is longer than one binding, though no tensor is, runs in several passes and gives
 * the same bits; grids fold; and what cannot be run is refused with its name and both numbers.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Executor } from "../../lib/backends/backend.ts";
import { operandShapes } from "../../kernels/vocabulary.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { leastTarget } from "../../kernels/wgsl/kernel.ts";
import { lowerPlan } from "../../lib/backends/webgpu/lowering.ts";
import type { Case } from "../../lib/checks/conformance_case.ts";
import { checkCase, describe, sizeOf } from "../../lib/checks/conformance.ts";
import { conformanceCases } from "../../lib/checks/conformance_cases.ts";
import { operandsOf } from "../../lib/checks/conformance_operands.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { Dataset } from "../../lib/text/dataset.ts";
import type { Dispatch, Plan } from "../../lib/graph/plan.ts";
import { Model } from "../../lib/model/model.ts";
import { randomIds } from "../../lib/checks/variants.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { lossesOf, stateOf } from "../suites/model_training.ts";
import { gpuTest, skipped, suffix } from "./adapter.ts";
import { withDevices } from "./fake_adapter.ts";

/** The kernels that walk whole stores, which may be longer than any tensor. */
const walkers = ["squareSum", "adamw", "momentum", "descend"];

const tilings = ["register", "workgroup"] as const;

type Limits = Partial<Record<keyof GPUSupportedLimits, number>>;

/** A backend that takes these for the limits of its adapter. */
async function openLimited(
  limits: Limits,
  tiling?: typeof tilings[number],
): Promise<Executor> {
  const limit = (device: GPUDevice) => {
    // They are getters of the prototype.
    const names = Object.keys(Object.getOwnPropertyDescriptors(
      Object.getPrototypeOf(device.limits),
    )) as (keyof GPUSupportedLimits)[];
    const all = Object.fromEntries(
      names.map((name) => [name, device.limits[name]]),
    );
    Object.defineProperty(device, "limits", { value: { ...all, ...limits } });
  };
  const options = { adapter: "any", tiling } as const;
  return await withDevices(limit, () => openWebGpu(options)) as Executor;
}

/** A plan of one dispatch, on buffers of just the right length. */
function planOf({ kernel, dims }: Case): Plan {
  const { outputs, inputs } = operandShapes(kernel, dims as never);
  const whole = outputs.concat(inputs).map(({ length }, buffer) => ({
    buffer,
    offset: 0,
    length,
  }));
  return {
    name: kernel,
    buffers: outputs.concat(inputs).map(({ name, dtype, length }, i) => {
      const kind = i < outputs.length ? "output" : "input";
      return { name, dtype, length, kind };
    }),
    dispatches: [{
      kernel,
      dims,
      outputs: whole.slice(0, outputs.length),
      inputs: whole.slice(outputs.length),
      label: "",
    } as Dispatch],
    phases: {},
  };
}

/** What a backend makes of a case. */
async function resultsOf(backend: Executor, test: Case) {
  const program = await backend.compile(planOf(test), new Map());
  const { outputs, inputs } = operandsOf(test);
  for (const { name, data } of [...outputs, ...inputs]) {
    program.buffer(name).write(data);
  }
  program.run();
  const results = outputs.map(({ name }) => program.buffer(name).read());
  const read = await Promise.all(results);
  program.destroy();
  return read;
}

const moments = { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.1 };

const descent = { rate: 20, scale: 1.4, weightDecay: 0.1 };

/** Returns whether a case has several arrays. */
function isBatch({ dims }: Case): boolean {
  return "count" in dims && dims.count > 1;
}

/** Cases of the update by their number of elements: ends of ranges in, at and after the decayed ones. */
const walks: Case[] = [
  ...conformanceCases.filter((test) =>
    walkers.includes(test.kernel) && sizeOf(test) < 1e5 && !isBatch(test)
  ),
  // Arrays that follow one another where every one, and where every second one, can be bound.
  ...[64, 32].flatMap((n): Case[] => {
    const arrays = { count: 11, n, stride: 128 };
    return [
      {
        kernel: "momentum",
        dims: { ...arrays, momentum: 0.9, nesterov: true },
      },
      { kernel: "descend", dims: { ...arrays, decayed: 20, ...descent } },
    ];
  }),
  ...[1024, 1025, 1028, 1088].flatMap((n): Case[] => [
    ...[0, 1, 252, 256, n].map((decayed): Case => ({
      kernel: "adamw",
      dims: { n, decayed, ...moments },
    })),
    {
      kernel: "descend",
      dims: { count: 1, n, stride: 0, decayed: 260, ...descent },
    },
    // Stretches of 32, of an odd length, and more than there are numbers for.
    ...[n / 32, 37, 2, n + 1].map((parts): Case => ({
      kernel: "squareSum",
      dims: { n, parts: Math.ceil(parts) },
    })),
  ]),
];

for (const tiling of tilings) {
  gpuTest(
    `what is bound in ranges has the same bits with ${tiling} tiles`,
    async () => {
      await using whole = await openLimited({}, tiling);
      for (const maxStorageBufferBindingSize of [1024, 4096]) {
        const limits = { maxStorageBufferBindingSize };
        await using cut = await openLimited(limits, tiling);
        for (const test of walks) {
          if (test.kernel === "squareSum") {
            const { n, parts } = test.dims;
            // A stretch is a whole, and the sums are a tensor.
            const words = Math.max(Math.ceil(n / parts) + 63, parts);
            if (4 * words > maxStorageBufferBindingSize) continue;
          }
          assertEquals(
            await resultsOf(cut, test),
            await resultsOf(whole, test),
            `${describe(test)}, ${maxStorageBufferBindingSize} bytes at a time`,
          );
        }
      }
    },
  );

  gpuTest(`folded grids give the same bits with ${tiling} tiles`, async () => {
    await using plain = await openLimited({}, tiling);
    const seen = new Set<string>();
    for (const test of conformanceCases) {
      if (seen.has(test.kernel) || sizeOf(test) > 1e6) continue;
      const { passes } = lowerPlan(planOf(test), targetOf({ tiling }), modest);
      const groups = passes.map(({ pass: { workgroups: [x, y] } }) => x * y);
      const side = Math.ceil(Math.sqrt(Math.max(...groups)));
      if (side < 2) continue;
      seen.add(test.kernel);
      const limits = { maxComputeWorkgroupsPerDimension: side };
      await using folded = await openLimited(limits, tiling);
      assertEquals(
        await resultsOf(folded, test),
        await resultsOf(plain, test),
        describe(test),
      );
    }
    const kernels = new Set(conformanceCases.map(({ kernel }) => kernel));
    const alone = ["clip", "lossSum"]; // of one workgroup
    assertEquals([...kernels.difference(seen)].sort(), alone);
  });
}

gpuTest(
  "a key with more query heads than one loop takes has the gradient of all",
  async () => {
    const dims = { B: 1, T: 700, NH: 100, NKV: 1, HS: 4, scale: 0.5 };
    const plain = { maskValue: 0, slopes: [], dropout: 0, site: 0 };
    await using backend = await openLimited({}, "register");
    await checkCase(backend, {
      kernel: "attentionBackward",
      dims: { ...dims, ...plain, mask: "causal" },
    });
  },
);

/** The limits that every adapter has. */
const modest = {
  maxStorageBuffersPerShaderStage: 8,
  minStorageBufferOffsetAlignment: 256,
};

function targetOf(
  { tiling = "register", bindingSize = leastTarget.bindingSize }: {
    readonly tiling?: typeof tilings[number];
    readonly bindingSize?: number;
  },
) {
  return { ...leastTarget, tiling, bindingSize };
}

Deno.test("a kernel that binds more buffers than an adapter allows is refused", () => {
  const limits = { ...modest, maxStorageBuffersPerShaderStage: 5 };
  const plan = planOf({
    kernel: "adamw",
    dims: { n: 4, decayed: 0, ...moments },
  });
  lowerPlan(plan, targetOf({}), modest);
  assertThrows(
    () => lowerPlan(plan, targetOf({}), limits),
    RangeError,
    "it binds 6 buffers and this adapter allows 5",
  );
});

Deno.test("no kernel binds more than its longest operand", () => {
  for (const tiling of tilings) {
    for (const test of conformanceCases) {
      const plan = planOf(test);
      const longest = Math.max(...plan.buffers.map(({ length }) => length));
      const bindingSize = 4 * Math.max(64, longest);
      lowerPlan(plan, targetOf({ tiling, bindingSize }), modest);
    }
  }
});

for (const optimizer of ["adamw", "sgd", "muon"] as const) {
  Deno.test(`37.9M parameters train with bindings of 128 MiB: ${optimizer}`, () => {
    const model = modelConfig({
      vocabSize: 96,
      blockSize: 256,
      nLayer: 12,
      nHead: 8,
      nEmbd: 512,
    });
    const plan = trainPlan(model, trainConfig({ optimizer }), { B: 2, T: 256 });
    const params = plan.buffers.find(({ name }) => name === "params")!;
    assert(4 * params.length > 2 ** 27);
    for (const tiling of tilings) {
      const { passes } = lowerPlan(plan, targetOf({ tiling }), modest);
      for (const { operands } of passes) {
        for (const { offset } of operands) assertEquals(offset % 64, 0);
      }
    }
  });
}

const config = modelConfig({
  vocabSize: 80,
  blockSize: 8,
  nLayer: 3,
  nHead: 2,
  nEmbd: 16,
});

const data = () =>
  new Dataset(randomIds(400, { vocabSize: 80 }), {
    blockSize: 8,
    batchSize: 2,
    seed: 5,
  });

/** Bytes of the longest tensor of a training step. */
function longestTensor(options: Parameters<typeof trainConfig>[0]): number {
  const plan = trainPlan(config, trainConfig(options), { B: 2, T: 8 });
  const tensors = plan.dispatches.flatMap(({ kernel, outputs, inputs }) =>
    walkers.includes(kernel) ? [] : [...outputs, ...inputs]
  );
  return 4 * Math.max(...tensors.map(({ length }) => length));
}

for (const optimizer of ["adamw", "sgd", "muon"] as const) {
  Deno.test({
    name:
      `training on the smallest adapter has the same bits: ${optimizer}${suffix}`,
    ignore: skipped,
    fn: async (test) => {
      const options = { optimizer, maxSteps: 6, gradClip: 0.1, momentum: 0.9 };
      const size = longestTensor(options);
      const train = async (backend: Executor) => {
        await using model = await Model.create(config, { backend, seed: 1 });
        const losses = await lossesOf(new Trainer(model, data(), options));
        assertEquals(losses.length, 6);
        return { losses, state: await stateOf(model) };
      };
      for (const tiling of tilings) {
        await test.step(tiling, async () => {
          await using whole = await openLimited({}, tiling);
          const expected = await train(whole);
          assert(4 * expected.state["params"]!.length > 4 * size);
          await using cut = await openLimited({
            maxStorageBufferBindingSize: size,
            maxComputeWorkgroupsPerDimension: 20,
          }, tiling);
          assertEquals(await train(cut), expected);
        });
      }
    },
  });
}

gpuTest(
  "a tensor that is too long is refused by its name, with both numbers",
  async () => {
    const size = longestTensor({});
    const limits = { maxStorageBufferBindingSize: size - 4 };
    await using backend = await openLimited(limits);
    await using model = await Model.create(config, { backend, seed: 1 });
    await assertRejects(
      async () => {
        await new Trainer(model, data(), { maxSteps: 1 }).run().next();
      },
      RangeError,
      `Cannot run embedding (wte): its wte takes ${size} bytes of params, more than the ${
        size - 4
      } that this adapter binds`,
    );
  },
);

gpuTest(
  "parameters that no buffer holds are refused with both numbers",
  async () => {
    await using backend = await openLimited({ maxBufferSize: 4096 });
    await assertRejects(
      () => Model.create(config, { backend, seed: 1 }),
      RangeError,
      "bytes are more than the 4096 that this adapter allows in one buffer",
    );
  },
);

Deno.test("a vocabulary whose weights a default adapter cannot bind is refused with both sizes; with a larger limit it runs", () => {
  const config = modelConfig({
    ...{ vocabSize: 50_257, blockSize: 64, nEmbd: 768, nHead: 12, nLayer: 1 },
    tiedHead: true,
  });
  const plan = trainPlan(config, trainConfig(), { B: 8, T: 64 });
  for (const tiling of ["register", "workgroup"] as const) {
    assertThrows(
      () => lowerPlan(plan, targetOf({ tiling }), modest),
      RangeError,
      "wte takes 154389504 bytes of params, more than the 134217728 that this adapter binds",
    );
    const bindingSize = 50_257 * 768 * 4;
    lowerPlan(plan, targetOf({ tiling, bindingSize }), modest);
  }
});
