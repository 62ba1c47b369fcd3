/** Which pipelines are kept, on a device that only counts them. */

import { assertEquals, assertRejects } from "@std/assert";
import type { Pass } from "../../kernels/wgsl/kernel.ts";
import { PipelineCache } from "../../lib/backends/webgpu/pipelines.ts";

Deno.test("PipelineCache keeps the latest pipelines, and none that was refused", async () => {
  const made: string[] = [];
  let refused = "";
  const device = {
    pushErrorScope: () => {},
    popErrorScope: () => Promise.resolve(null),
    createShaderModule: ({ code }: { code: string }) => ({ code }),
    createPipelineLayout: () => ({}),
    createBindGroupLayout: () => ({}),
    createComputePipelineAsync: (
      { compute: { module: { code } } }: {
        compute: { module: { code: string } };
      },
    ) => {
      made.push(code);
      return code === refused
        ? Promise.reject(new Error("no memory"))
        : Promise.resolve({ code });
    },
  };
  const cache = new PipelineCache(device as unknown as GPUDevice, 2);
  const get = (code: string) =>
    cache.get({ code, bindings: [], workgroups: [1, 1, 1] } as Pass, code);
  for (const code of ["a", "b", "a", "c", "a", "b"]) await get(code);
  assertEquals(made, ["a", "b", "c", "b"]);
  refused = "d";
  const message = "Cannot compile d: no memory";
  await assertRejects(() => get("d"), Error, message);
  await assertRejects(() => get("d"), Error, message);
  refused = "";
  assertEquals((await get("d")).pipeline, { code: "d" } as never);
});
