/** Limits of an adapter, measured without a model: multiply-adds, memory, workgroup memory, and fresh buffers. */

import type { BareDevice, Timing } from "./bare.ts";

const each = (n: number, line: (i: number) => string) =>
  Array.from({ length: n }, (_, i) => line(i));

/** Times a text that reads and writes `y`, and `x` if it is given. */
async function timeText(
  device: BareDevice,
  text: string,
  { operands, workgroups, ...timing }: Timing & {
    readonly operands: Readonly<Record<string, GPUBuffer>>;
    readonly workgroups: number;
  },
): Promise<number> {
  const bindings = Object.keys(operands).map((operand) => ({
    operand,
    access: operand === "y" ? "read_write" : "read",
  } as const));
  const declared = bindings.map(({ operand, access }, i) =>
    `@group(0) @binding(${i}) var<storage, ${access}> ${operand}: array<vec4f>;`
  );
  const code = `${declared.join("\n")}\n${text}`;
  const passes = await device.bind({
    passes: [{ code, bindings, workgroups: [workgroups, 1, 1] }],
    scratch: {},
  }, operands);
  const [ms] = await device.measure([passes], timing);
  return ms!;
}

/**
 * Returns the multiply-adds with operands in registers, in GFLOP/s: four chains of
 * vec4f in every invocation, each eight links long before the loop turns.
 */
export async function bareMultiplyAdds(
  device: BareDevice,
  timing: Timing,
): Promise<number> {
  const [turns, chains, links, size, count] = [512, 4, 8, 64, 2048];
  const y = device.empty(4 * size * count);
  const ms = await timeText(
    device,
    `
@compute @workgroup_size(${size})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = y[id.x];
  ${each(chains, (i) => `var s${i} = x * ${i}.0f;`).join("\n  ")}
  for (var t = 0u; t < ${turns}u; t++) {
    ${
      each(
        links,
        () => each(chains, (i) => `s${i} = fma(s${i}, x, x);`).join(" "),
      ).join("\n    ")
    }
  }
  y[id.x] = ${each(chains, (i) => `s${i}`).join(" + ")};
}`,
    { ...timing, operands: { y }, workgroups: count },
  );
  y.destroy();
  return 2 * 4 * chains * links * turns * size * count / ms / 1e6;
}

/** Returns the bytes per nanosecond (GB/s) of copying `megabytes`, reads and writes together. */
export async function copyBandwidth(
  device: BareDevice,
  timing: Timing,
  megabytes: number,
): Promise<number> {
  const length = megabytes * 2 ** 18;
  const [x, y] = [device.empty(length), device.empty(length)];
  const [size, perInvocation] = [256, 4];
  const workgroups = length / 4 / size / perInvocation;
  const ms = await timeText(
    device,
    `
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = group.x * ${size * perInvocation}u + local;
  ${
      each(
        perInvocation,
        (i) => `y[first + ${i * size}u] = x[first + ${i * size}u];`,
      ).join("\n  ")
    }
}`,
    { ...timing, operands: { y, x }, workgroups },
  );
  for (const buffer of [x, y]) buffer.destroy();
  return 2 * 4 * length / ms / 1e6;
}

/** Returns the bytes per nanosecond (GB/s) that invocations read from workgroup memory, as vec4f. */
export async function workgroupBandwidth(
  device: BareDevice,
  timing: Timing,
): Promise<number> {
  const [turns, reads, size, count] = [128, 8, 128, 1024];
  const y = device.empty(4 * size * count);
  const ms = await timeText(
    device,
    `
var<workgroup> tile: array<vec4f, 512>;
@compute @workgroup_size(${size})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) local: u32) {
  for (var i = local; i < 512u; i += ${size}u) { tile[i] = y[id.x]; }
  workgroupBarrier();
  var sum = vec4f();
  for (var t = 0u; t < ${turns}u; t++) {
    ${
      each(
        reads,
        (i) => `sum += tile[(local + t * ${reads}u + ${i}u) % 512u];`,
      ).join("\n    ")
    }
  }
  y[id.x] = sum;
}`,
    { ...timing, operands: { y }, workgroups: count },
  );
  y.destroy();
  return 16 * turns * reads * size * count / ms / 1e6;
}

/**
 * Returns the milliseconds that a shader with 13 KiB of workgroup memory takes more than one with 16 bytes: some
 * drivers let one invocation set all of it to zeros, as WGSL asks.
 */
export async function zeroingMs(
  device: BareDevice,
  timing: Timing,
): Promise<number> {
  const [size, count] = [128, 4096];
  const y = device.empty(4 * size * count);
  const time = (elements: number) =>
    timeText(
      device,
      `
var<workgroup> tile: array<vec4f, ${elements}>;
@compute @workgroup_size(${size})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) local: u32) {
  if (local < ${Math.min(elements, size)}u) { tile[local] = y[id.x]; }
  workgroupBarrier();
  y[id.x] = tile[0];
}`,
      { ...timing, operands: { y }, workgroups: count },
    );
  const difference = await time(832) - await time(1);
  y.destroy();
  return difference;
}

/** Returns the milliseconds of a dispatch that does nothing, in chains of several lengths. */
export async function chains(
  device: BareDevice,
  lengths: readonly number[],
): Promise<{ length: number; hostMs: number; deviceMs: number }[]> {
  const y = device.empty(256);
  const code = `
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) local: u32) { y[local] += 1.0f; }`;
  const passes = await device.bind({
    passes: [{
      code,
      bindings: [{ operand: "y", access: "read_write" }],
      workgroups: [1, 1, 1],
    }],
    scratch: {},
  }, { y });
  const results = [];
  for (const length of lengths) {
    await device.run(passes, length);
    const begun = performance.now();
    const deviceMs = await device.run(passes, length);
    results.push({ length, deviceMs, hostMs: performance.now() - begun });
  }
  y.destroy();
  return results;
}

/** Returns the milliseconds of an empty submission, and of reading 4 bytes back. */
export async function hostOverheads(
  device: BareDevice,
): Promise<{ submitMs: number; mapMs: number }> {
  const [submissions, reads] = [200, 10];
  const { queue } = device.device;
  await queue.onSubmittedWorkDone();
  let begun = performance.now();
  for (let i = 0; i < submissions; i++) {
    queue.submit([device.device.createCommandEncoder().finish()]);
  }
  const submitMs = (performance.now() - begun) / submissions;
  const y = device.empty(1);
  await device.read(y);
  begun = performance.now();
  for (let i = 0; i < reads; i++) await device.read(y);
  const mapMs = (performance.now() - begun) / reads;
  y.destroy();
  return { submitMs, mapMs };
}
