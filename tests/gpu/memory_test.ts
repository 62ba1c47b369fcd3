/** A GPU without memory, which WebGPU reports in error scopes alone. */

import { assertEquals, assertRejects } from "@std/assert";
import { OutOfMemoryError, type Stores } from "../../lib/backends/backend.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { Model } from "../../lib/model/model.ts";
import { variant } from "../../lib/checks/variants.ts";
import { buffer, filled, sums } from "../fixtures/sums.ts";
import { skipped, suffix } from "./adapter.ts";
import { withDevices } from "./fake_adapter.ts";

/** The longest buffer that the device has memory for, in bytes. */
interface Memory {
  longest: number;
}

/** Gives a device no memory for longer buffers: WebGPU then makes an invalid one, and tells the scope. */
function limit(device: GPUDevice, memory: Memory): void {
  const failed: boolean[] = [];
  const scopes: GPUErrorFilter[] = [];
  const { createBuffer, pushErrorScope, popErrorScope } = device;
  device.createBuffer = (descriptor) => {
    if (descriptor.size <= memory.longest) {
      return createBuffer.call(device, descriptor);
    }
    failed[scopes.lastIndexOf("out-of-memory")] = true;
    const usage = 0; // is not allowed, and makes it invalid
    return createBuffer.call(device, { ...descriptor, usage });
  };
  device.pushErrorScope = (filter) => {
    scopes.push(filter);
    pushErrorScope.call(device, filter);
  };
  device.popErrorScope = async () => {
    const [hasFailed] = failed.splice(scopes.length - 1);
    scopes.pop();
    const error = await popErrorScope.call(device);
    return hasFailed ? new GPUOutOfMemoryError("Not enough memory") : error;
  };
}

Deno.test({
  name: `WebGPU says that memory is what lacks, and goes on${suffix}`,
  ignore: skipped,
  fn: async () => {
    const memory: Memory = { longest: Infinity };
    await withDevices((device) => limit(device, memory), async () => {
      await using backend = await openWebGpu({ adapter: "any" });
      const refuse = async (work: () => Promise<unknown>, message: string) => {
        const before = backend.allocatedBytes;
        memory.longest = 16;
        const error = await assertRejects(work, OutOfMemoryError, message);
        assertEquals(backend.allocatedBytes, before, message);
        memory.longest = Infinity;
        return error.needed;
      };
      const stores: Stores = new Map();
      const whole = backend.measure([sums], stores);
      const compile = () => backend.compile(sums, stores);
      assertEquals(await refuse(compile, "Cannot compile sums"), whole);
      assertEquals(stores.size, 0);
      const create = () => backend.createStore(buffer("s", "store"));
      await refuse(create, "Cannot allocate s: it needs");
      const { config } = variant("the defaults");
      const model = () => Model.create(config, { backend });
      await refuse(model, "Cannot allocate params: it needs");

      const program = await compile();
      program.buffer("a").write(filled(1));
      program.run(["forward"]);
      const z = program.buffer("z");
      await refuse(() => z.read(), "Cannot read z: it needs");
      assertEquals([...await z.read()], filled(2));
    });
  },
});
