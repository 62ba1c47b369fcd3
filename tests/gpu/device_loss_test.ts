/** A device that is lost is reported as lost, wherever in a model's life that happens. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { DeviceLostError, NoAdapterError } from "../../lib/backends/backend.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { Model } from "../../lib/model/model.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { variant } from "../../lib/checks/variants.ts";
import { dataset, training } from "../suites/model_training.ts";
import { sums } from "../fixtures/sums.ts";
import { gpuTest, skipped, suffix } from "./adapter.ts";
import { withDevices } from "./fake_adapter.ts";
import { loseAt, type LossPlace, lossPlaces } from "./losing_device.ts";

/** Creates a model, trains, evaluates, samples and saves it on a device that may be lost on the way. */
async function live(at?: readonly [LossPlace, number]) {
  await using backend = await openWebGpu({ adapter: "any" });
  const calls = loseAt(backend.device, at);
  const { config } = variant("the defaults");
  await using model = await Model.create(config, { backend, seed: 1 });
  const options = training({ maxSteps: 4, evalInterval: 2 });
  for await (const _ of new Trainer(model, dataset(), options).run());
  const tokens = await Array.fromAsync(
    model.generate([1, 2], { maxNewTokens: 3 }),
  );
  assertEquals(tokens.length, 3);
  await model.save();
  await backend.finish();
  return { ...calls };
}

Deno.test({
  name: `a lost device is reported as lost at every place${suffix}`,
  ignore: skipped,
  fn: async (test) => {
    const calls = await live();
    for (const place of lossPlaces) {
      const count = calls[place];
      assert(count > 2, `${place}: ${count} calls`);
      const chosen = [1, 2, 3, Math.ceil(count / 2), count - 1, count];
      for (const call of new Set(chosen)) {
        await test.step(`${place} ${call} of ${count}`, async () => {
          await assertRejects(
            () => live([place, call]),
            DeviceLostError,
            "the WebGPU device was lost",
          );
        });
      }
    }
  },
});

gpuTest("a loss that is known late is still reported as one", async () => {
  const late = (device: GPUDevice) => {
    const lost = device.lost.then(async (info) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return info;
    });
    Object.defineProperty(device, "lost", { value: lost });
  };
  const backend = await withDevices(late, () => openWebGpu({ adapter: "any" }));
  const program = await backend.compile(sums, new Map());
  backend.device.destroy();
  const action = () => program.buffer("z").read();
  await assertRejects(action, DeviceLostError, "Cannot read z: the WebGPU");
});

gpuTest("an adapter that gives no device counts as none", async () => {
  const broken = () => {
    throw new DOMException("the driver is gone", "OperationError");
  };
  await withDevices(broken, async () => {
    await assertRejects(
      () => openWebGpu({ adapter: "any" }),
      NoAdapterError,
      ": the driver is gone",
    );
  });
});

gpuTest("a refusal that comes of a loss is reported as the loss", async () => {
  await using backend = await openWebGpu({ adapter: "any" });
  const { device } = backend;
  const { pushErrorScope } = device;
  device.pushErrorScope = (filter) => {
    pushErrorScope.call(device, filter);
    if (filter !== "out-of-memory") return;
    device.popErrorScope = () => {
      device.destroy();
      return Promise.resolve(new GPUOutOfMemoryError("the device is gone"));
    };
  };
  await assertRejects(
    () => backend.compile(sums, new Map()),
    DeviceLostError,
    "Cannot compile sums: the WebGPU device was lost",
  );
});

gpuTest("an error without a loss stays what it is", async () => {
  await using backend = await openWebGpu({ adapter: "any" });
  const { device } = backend;
  device.createComputePipelineAsync = () =>
    Promise.reject(
      new GPUPipelineError("no registers", { reason: "internal" }),
    );
  await assertRejects(
    () => backend.compile(sums, new Map()),
    Error,
    "Cannot compile add (sum 2): no registers",
  );
});

for (const label of ["b", "middle"]) {
  gpuTest(
    `memory that is refused to ${label} leaves nothing behind`,
    async () => {
      await using backend = await openWebGpu({ adapter: "any" });
      const { device } = backend;
      const { createBuffer } = device;
      // The software adapter has as much memory as the machine; what is not valid is refused alike.
      device.createBuffer = (descriptor) =>
        createBuffer.call(device, {
          ...descriptor,
          usage: descriptor.label === label ? 0 : descriptor.usage,
        });
      const stores = new Map();
      await assertRejects(
        () => backend.compile(sums, stores),
        Error,
        "Cannot compile sums: ",
      );
      assertEquals(stores.size, 0);
      assertEquals(backend.allocatedBytes, 0);
      device.createBuffer = createBuffer;
      const program = await backend.compile(sums, stores);
      program.run();
      await program.buffer("z").read();
    },
  );
}
