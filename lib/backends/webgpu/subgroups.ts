/**
 * The trial of subgroup operations before kernels use them: a compiler must take them, and they must give known answers.
 * Compilers differ: some want the directive `enable subgroups`, others refuse it and know the operations without.
 */

import { type Pass, ROWS, type Target } from "../../../kernels/wgsl/kernel.ts";
import { input, output } from "../../../kernels/wgsl/pass.ts";
import { EACH, rowPass } from "../../../kernels/wgsl/rows.ts";
import { refusal } from "../../refusal.ts";

/** Rows of a trial; the largest number is in another place in each. */
const COUNT = 8;

/** Widths of trial rows: with few invocations of a workgroup, maybe fewer than a subgroup has, and with the most. */
const WIDTHS = [5, 700];

/**
 * Requests a device, with subgroups if a table chooses reductions in them. Deno's adapters do not list them but grant them; an
 * adapter that has none refuses, and is then asked without.
 *
 * @param request requests a device with further features
 */
export async function requestSubgroups(
  products: Target["products"],
  request: (more: readonly "subgroups"[]) => Promise<GPUDevice>,
): Promise<GPUDevice> {
  if (products?.[ROWS] === undefined) return await request([]);
  return await request(["subgroups"]).catch(() => request([]));
}

/**
 * Returns a target whose table chooses reductions in subgroups with what the device's compiler needs to take them, and any other
 * target as it is.
 *
 * @throws {RangeError} if the device has no subgroups, its compiler does not take their operations, or they give wrong answers
 */
export async function withSubgroups(
  device: GPUDevice,
  target: Target,
): Promise<Target> {
  if (target.products?.[ROWS] === undefined) return target;
  const action = "reduce rows in subgroups";
  if (!target.features.includes("subgroups")) {
    throw refusal(RangeError, action, "this adapter has none");
  }
  const dialects: Target[] = [target, { ...target, undeclared: ["subgroups"] }];
  const messages: string[] = [];
  for (const dialect of dialects) {
    const pipelines = await Promise.all(
      WIDTHS.map((width) => compile(device, trial(width, dialect))),
    );
    const fault = pipelines.find((one) => typeof one === "string");
    if (fault !== undefined) {
      messages.push(fault);
      continue;
    }
    for (const [i, width] of WIDTHS.entries()) {
      const pipeline = pipelines[i] as GPUComputePipeline;
      const wrong = differenceOf(width, await answers(device, pipeline, width));
      if (wrong !== undefined) throw refusal(RangeError, action, wrong);
    }
    return dialect;
  }
  throw refusal(RangeError, action, messages.join("\n"));
}

/** Returns the pass that writes the sum and the largest of each row of x. */
function trial(width: number, target: Target): Pass {
  return rowPass({
    target: { ...target, tiling: "workgroup" },
    parameters: [output("y", "vec2f"), input("x")],
    count: COUNT,
    width,
    lanes: 1,
    reductions: ["total", "largest"],
    body: `
var sum = 0.0f;
var most = x[start];
${EACH} {
  sum += x[k];
  most = max(most, x[k]);
}
let answers = vec2f(total(sum, local), largest(most, local));
if (leader) {
  y[row] = answers;
}`,
  });
}

/** Returns the numbers of row `row`: integers, whose sums are exact in any order. */
function numbersOf(row: number, width: number): Float32Array {
  const top = row * 97 % width;
  return Float32Array.from(
    { length: width },
    (_, k) => k === top ? 1000 + row : -1 - (k + row) % 31,
  );
}

/** Returns how the answers for rows of this width are wrong; undefined if they are right. */
function differenceOf(
  width: number,
  actual: Float32Array,
): string | undefined {
  for (let row = 0; row < COUNT; row++) {
    const numbers = numbersOf(row, width);
    const sum = numbers.reduce((a, b) => a + b);
    const expected = [sum, Math.max(...numbers)];
    const found = [...actual.subarray(2 * row, 2 * row + 2)];
    if (expected.every((x, i) => x === found[i])) continue;
    return `sum and largest of ${width} numbers are ${
      found.join(" and ")
    } and should be ${expected.join(" and ")}`;
  }
  return undefined;
}

/** Returns the pipeline of a pass, or the compiler's message. */
async function compile(
  device: GPUDevice,
  { code }: Pass,
): Promise<GPUComputePipeline | string> {
  device.pushErrorScope("validation");
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }) },
  });
  const error = await device.popErrorScope();
  return error ? error.message.trim() : pipeline;
}

/** Returns the answers of a trial of rows of this width. */
async function answers(
  device: GPUDevice,
  pipeline: GPUComputePipeline,
  width: number,
): Promise<Float32Array> {
  const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const size = 8 * COUNT;
  const y = device.createBuffer({ size, usage: STORAGE | COPY_SRC });
  const staging = device.createBuffer({ size, usage: COPY_DST | MAP_READ });
  const x = device.createBuffer({
    size: 4 * COUNT * width,
    usage: STORAGE | COPY_DST,
  });
  for (let row = 0; row < COUNT; row++) {
    const numbers = numbersOf(row, width) as Float32Array<ArrayBuffer>;
    device.queue.writeBuffer(x, 4 * row * width, numbers);
  }
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [y, x].map((buffer, binding) => ({
        binding,
        resource: { buffer },
      })),
    }),
  );
  pass.dispatchWorkgroups(COUNT);
  pass.end();
  encoder.copyBufferToBuffer(y, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const result = new Float32Array(staging.getMappedRange().slice(0));
  for (const buffer of [x, y, staging]) buffer.destroy();
  return result;
}
