/** When a GPU is trusted with float16: only if its adapter has it, and its numbers are those of a known answer. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Plan } from "../../lib/graph/plan.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { chooseDevice, trainingWork } from "../../lib/checks/device_choice.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { gpuTest } from "./adapter.ts";
import {
  asHardware,
  passForHardware,
  withAdapters,
  withDevices,
} from "./fake_adapter.ts";

const training = {
  model: modelConfig({
    ...{ vocabSize: 20, blockSize: 16, nLayer: 1, nHead: 2, nEmbd: 16 },
  }),
  train: trainConfig({ batchSize: 4, precision: "f16" }),
};

const plan: Plan = trainPlan(training.model, training.train, { B: 4, T: 16 });

/** Makes an adapter say that it has no float16. */
function withoutHalves(adapter: GPUAdapter): void {
  const features = new Set(adapter.features);
  features.delete("shader-f16");
  Object.defineProperty(adapter, "features", { value: features });
}

gpuTest(
  "A plan with float16 is refused by an adapter without it, before anything is allocated",
  async () => {
    await withAdapters(withoutHalves, async () => {
      await using backend = await openWebGpu({ adapter: "any" });
      assert(!backend.halves);
      for (
        const use of [
          () => backend.compile(plan, new Map()),
          // deno-lint-ignore require-await
          async () => backend.measure([plan]),
        ]
      ) {
        const error = await assertRejects(use, RangeError);
        assertEquals(
          error.message,
          `Cannot compile train: ${backend.description} has no float16
hint: a run of precision f32 trains on every device`,
        );
      }
      assertEquals(backend.allocatedBytes, 0);
    });
  },
);

/** Opens a device whose compiler makes one mistake. */
function withCompiler<T>(
  mistake: (code: string) => string,
  use: () => Promise<T>,
): Promise<T> {
  return withDevices((device) => {
    const create = device.createShaderModule.bind(device);
    device.createShaderModule = ({ code, ...rest }) =>
      create({ ...rest, code: mistake(code) });
  }, use);
}

for (
  const [name, mistake, wrong] of [
    // Rounds up: ties no longer go to the even number.
    [
      "rounding",
      (code: string) => code.replaceAll("vec4h(", "vec4h(1.0001f * "),
      "1.0009765625 in place of 1",
    ],
    // Subnormal numbers, below 2^-14, become 0.
    [
      "subnormal numbers",
      (code: string) =>
        code.replaceAll(
          "f16(x[i])",
          "f16(select(x[i], 0.0f, abs(x[i]) < 6.1e-5f))",
        ),
      "0 in place of 0.000030517578125",
    ],
    // Numbers beyond 65504 stay finite.
    [
      "infinity",
      (code: string) =>
        code.replaceAll(
          "vec4h(x[i])",
          "vec4h(clamp(x[i], vec4f(-65504.0f), vec4f(65504.0f)))",
        ),
      "65504 in place of Infinity",
    ],
    [
      "an activation",
      (code: string) => code.replaceAll("max(x, F())", "x"),
      "in place of 0",
    ],
  ] as const
) {
  gpuTest(`A GPU with wrong float16 is refused by name: ${name}`, async () => {
    await withCompiler(mistake, async () => {
      await using backend = await openWebGpu({ adapter: "any" });
      for (let i = 0; i < 2; i++) {
        const { message } = await assertRejects(
          () => backend.compile(plan, new Map()),
          RangeError,
          `${backend.name} computes wrong float16 numbers, the first `,
        );
        assert(message.includes(wrong), message);
      }
    });
  });
}

gpuTest(
  "A device computes the known answer once, and only for float16",
  async () => {
    let answers = 0;
    await withDevices((device) => {
      const create = device.createBuffer.bind(device);
      device.createBuffer = (descriptor) => {
        if (descriptor.label === "scalars") answers++;
        return create(descriptor);
      };
    }, async () => {
      await using backend = await openWebGpu({ adapter: "any" });
      const { model, train } = training;
      const plain = trainPlan(model, { ...train, precision: "f32" }, {
        ...{ B: 4, T: 16 },
      });
      (await backend.compile(plain, new Map())).destroy();
      assertEquals(answers, 0);
      const both = [plan, plan].map((plan) => backend.compile(plan, new Map()));
      for (const program of await Promise.all(both)) program.destroy();
      assertEquals(answers, 1);
    });
  },
);

gpuTest("--device auto takes a GPU for float16 only if it has it", async () => {
  const work = trainingWork(training);
  const { device, verdict } = await asHardware(() => chooseDevice(work));
  // Whatever the CPU engine's time, it has no float16.
  assertEquals([device, verdict!.refused], ["webgpu", null]);
  const lacking = (adapter: GPUAdapter) => {
    passForHardware(adapter);
    withoutHalves(adapter);
  };
  await withAdapters(lacking, async () => {
    await assertRejects(
      () => chooseDevice(work),
      RangeError,
      "Cannot train with precision f16: Cannot compile train: ",
    );
  });
  await assertRejects(
    () => chooseDevice(work),
    RangeError,
    "Cannot train with precision f16: the machine has no hardware GPU",
  );
});
