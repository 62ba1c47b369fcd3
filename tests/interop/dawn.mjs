// Compiles and runs WGSL in Dawn, Chromium's implementation of WebGPU, with its experiments. Reads JSON { backend, jobs } from the
// standard input, where the backend is `null` (which only compiles) or `vulkan`, and a job is { passes, scratch, operands }. Writes
// { shapes, subgroup, results }, each result { messages, operands }, or null if there is no adapter with matrices.

import { create, globals } from "webgpu";

Object.assign(globalThis, globals);
const chunks = [];
for await (const chunk of Deno.stdin.readable) chunks.push(...chunk);
const { backend, jobs } = JSON.parse(
  new TextDecoder().decode(Uint8Array.from(chunks)),
);
const gpu = create([
  `backend=${backend}`,
  "enable-dawn-features=allow_unsafe_apis",
]);
const adapter = await gpu.requestAdapter();
const requiredFeatures = [
  ...["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"],
];
if (!requiredFeatures.every((feature) => adapter?.features.has(feature))) {
  console.log("null");
  Deno.exit(0);
}
const { maxComputeWorkgroupStorageSize } = adapter.limits;
const device = await adapter.requestDevice({
  ...{ requiredFeatures, requiredLimits: { maxComputeWorkgroupStorageSize } },
});
const { subgroupMatrixConfigs, subgroupMaxSize } = adapter.info;

/** Returns a buffer with these numbers. */
function bufferOf(numbers) {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC |
    GPUBufferUsage.COPY_DST;
  const buffer = device.createBuffer({ size: 4 * numbers.length, usage });
  device.queue.writeBuffer(buffer, 0, Float32Array.from(numbers));
  return buffer;
}

/** Returns the numbers of a buffer. */
async function numbersOf(buffer) {
  const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
  const staging = device.createBuffer({ size: buffer.size, usage });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  return [...new Float32Array(staging.getMappedRange())];
}

async function resultOf({ passes, scratch, operands }) {
  const messages = [];
  const modules = [];
  for (const { code } of passes) {
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code });
    const info = await module.getCompilationInfo();
    messages.push(...info.messages.map(({ message }) => message));
    const error = await device.popErrorScope();
    if (error) messages.push(error.message);
    modules.push(module);
  }
  if (backend === "null" || messages.length > 0) return { messages };
  const buffers = Object.fromEntries(
    [
      ...Object.entries(operands),
      ...Object.entries(scratch).map(([name, n]) => [name, Array(n).fill(0)]),
    ].map(([name, numbers]) => [name, bufferOf(numbers)]),
  );
  device.pushErrorScope("validation");
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const [i, { bindings, workgroups }] of passes.entries()) {
    const pipeline = device.createComputePipeline({
      ...{ layout: "auto", compute: { module: modules[i] } },
    });
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: bindings.map(({ operand }, binding) => ({
          ...{ binding, resource: { buffer: buffers[operand] } },
        })),
      }),
    );
    pass.dispatchWorkgroups(...workgroups);
  }
  pass.end();
  device.queue.submit([encoder.finish()]);
  const error = await device.popErrorScope();
  if (error) return { messages: [error.message] };
  const results = {};
  for (const name of Object.keys(operands)) {
    results[name] = await numbersOf(buffers[name]);
  }
  return { messages, operands: results };
}

const results = [];
for (const job of jobs) results.push(await resultOf(job));
const shapes = [...subgroupMatrixConfigs].map(
  ({ M, N, K, componentType, resultComponentType }) => ({
    ...{ M, N, K, element: componentType, sums: resultComponentType },
  }),
);
console.log(JSON.stringify({ shapes, subgroup: subgroupMaxSize, results }));
Deno.exit(0);
