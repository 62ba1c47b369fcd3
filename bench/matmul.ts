/**
 * Measures the matrix products of one training step on this machine's WebGPU
 * adapter: every shape by every variant, and how near each comes to the adapter's
 * bare multiply-adds. Every result is checked against float64 first.
 *
 *     deno run -A bench/matmul.ts [--preset original] [--tiling register|workgroup] [--rounds 7]
 *
 * `*` marks the variant that the builder chooses; the total takes those, each as
 * often as a step runs it. "first" is how much longer the first run of a text took:
 * compiling, unless the driver has it in its cache (MESA_SHADER_CACHE_DISABLE=true
 * turns Mesa's off).
 */

import type { Lowering, Target } from "../kernels/wgsl/kernel.ts";
import { matmul } from "../kernels/wgsl/matmul.ts";
import type { MatmulDims } from "../kernels/wgsl/matmul_product.ts";
import { registerMatmul } from "../kernels/wgsl/matmul_register.ts";
import {
  partition,
  workgroupMatmul,
} from "../kernels/wgsl/matmul_workgroup.ts";
import { CounterRandom, Purpose } from "../kernels/random.ts";
import { readFlags } from "../tools/flags.ts";
import { plainProduct } from "../kernels/vocabulary.ts";

/** Sizes of a model and its batch. */
const PRESETS = {
  original: { rows: 2048, nEmbd: 128, nHidden: 512, nLayer: 4, vocab: 128 },
  "nano-cpu": { rows: 768, nEmbd: 128, nHidden: 512, nLayer: 4, vocab: 65 },
  "nano-gpu": { rows: 16384, nEmbd: 384, nHidden: 1536, nLayer: 6, vocab: 65 },
} as const;

/** Milliseconds of work that one measurement should hold. */
const LONG_ENOUGH = 60;

/** Elements of each result that are checked. */
const CHECKED = 400;

const { flags } = readFlags({
  ...{ preset: "original", rounds: "7", tiling: undefined },
});
const preset = PRESETS[flags.preset as keyof typeof PRESETS];
const rounds = Number(flags.rounds);
const adapter = await navigator.gpu.requestAdapter();
if (!adapter) throw new Error("Cannot measure: there is no WebGPU adapter");
const { limits } = adapter;
const device = await adapter.requestDevice({
  requiredFeatures: ["timestamp-query"],
  requiredLimits: {
    maxBufferSize: limits.maxBufferSize,
    maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
  },
});
device.addEventListener("uncapturederror", (event) => {
  throw (event as GPUUncapturedErrorEvent).error;
});
const target: Target = {
  tiling: (flags.tiling ?? (adapter.info.isFallbackAdapter ||
      /llvmpipe|swiftshader/i.test(adapter.info.description)
    ? "register"
    : "workgroup")) as Target["tiling"],
  workgroupStorage: device.limits.maxComputeWorkgroupStorageSize,
  invocations: device.limits.maxComputeInvocationsPerWorkgroup,
  workgroupsPerDimension: device.limits.maxComputeWorkgroupsPerDimension,
  bindingSize: device.limits.maxStorageBufferBindingSize,
};

const stamps = device.createQuerySet({ type: "timestamp", count: 2 });
const stampBuffer = device.createBuffer({
  size: 16,
  usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
});

/** A pass ready to run. */
interface Bound {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** Returns the products of a step, and how often it runs each. */
function productsOf(
  { rows, nEmbd, nHidden, nLayer, vocab }: typeof PRESETS[
    keyof typeof PRESETS
  ],
): { dims: MatmulDims; count: number }[] {
  const maps = [
    { nIn: nEmbd, nOut: 3 * nEmbd, residual: false, count: nLayer },
    { nIn: nEmbd, nOut: nEmbd, residual: true, count: nLayer },
    { nIn: nEmbd, nOut: nHidden, residual: false, count: nLayer },
    { nIn: nHidden, nOut: nEmbd, residual: true, count: nLayer },
    { nIn: nEmbd, nOut: vocab, residual: false, count: 1 },
  ];
  const biased = { ...plainProduct, bias: true };
  const adding = { ...plainProduct, accumulate: true };
  const products = new Map<string, { dims: MatmulDims; count: number }>();
  for (const { nIn, nOut, residual, count } of maps) {
    const forms: MatmulDims[] = [
      { form: "nt", M: rows, N: nOut, K: nIn, ...biased, residual },
      { form: "nn", M: rows, N: nIn, K: nOut, ...plainProduct },
      { form: "tn", M: nOut, N: nIn, K: rows, ...adding },
    ];
    for (const dims of forms) {
      const key = JSON.stringify(dims);
      const known = products.get(key)?.count ?? 0;
      products.set(key, { dims, count: known + count });
    }
  }
  return [...products.values()].sort((a, b) =>
    a.dims.form.localeCompare(b.dims.form)
  );
}

/** Returns ways to compute a product by name, including the builder's own. */
function variantsOf(dims: MatmulDims): Map<string, Lowering> {
  const variants = new Map<string, Lowering>();
  if (target.tiling === "register") {
    for (const [rows, columns] of [[8, 8], [16, 16], [24, 16], [32, 16]]) {
      const units = dims.N % 4 === 0 ? columns! / 4 : columns!;
      const tile = { rows: rows!, units };
      variants.set(`${rows}x${columns}`, registerMatmul(dims, target, tile));
    }
  } else {
    const tiles = [
      { rows: 128, columns: 64, part: { rows: 8, columns: 8 } },
      { rows: 64, columns: 64, part: { rows: 8, columns: 4 } },
      { rows: 32, columns: 32, part: { rows: 4, columns: 4 } },
    ];
    for (const tile of tiles) {
      for (const slices of new Set([1, partition(dims).slices, 8])) {
        if (slices > 1 && dims.form !== "tn") continue;
        variants.set(
          `${tile.rows}x${tile.columns}/${slices}`,
          workgroupMatmul(dims, target, { tile, slices }),
        );
      }
    }
  }
  const chosen = matmul(dims, target);
  const same = [...variants].find(([, { passes }]) =>
    passes[0]!.code === chosen.passes[0]!.code
  );
  variants.delete(same?.[0] ?? "");
  return variants.set(`${same?.[0] ?? "builder"} *`, chosen);
}

const pipelines = new Map<string, GPUComputePipeline>();

async function pipelineOf(code: string): Promise<GPUComputePipeline> {
  const known = pipelines.get(code);
  if (known) return known;
  device.pushErrorScope("validation");
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }) },
  });
  const error = await device.popErrorScope();
  if (error) throw new Error(`${error.message}\n${code}`);
  pipelines.set(code, pipeline);
  return pipeline;
}

function createBuffer(data: Float32Array<ArrayBuffer>): GPUBuffer {
  const buffer = device.createBuffer({
    size: data.byteLength,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC |
      GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(buffer, 0, data);
  return buffer;
}

async function bind(
  { passes, scratch }: Lowering,
  operands: Readonly<Record<string, GPUBuffer>>,
): Promise<Bound[]> {
  const buffers = { ...operands };
  for (const [name, length] of Object.entries(scratch)) {
    buffers[name] = createBuffer(new Float32Array(length));
  }
  return await Promise.all(
    passes.map(async ({ code, bindings, workgroups }) => {
      const pipeline = await pipelineOf(code);
      const group = device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: bindings.map(({ operand }, binding) => ({
          binding,
          resource: { buffer: buffers[operand]! },
        })),
      });
      return { pipeline, group, workgroups };
    }),
  );
}

/** Returns the milliseconds on the device that `times` runs of the passes take, in one submission. */
async function run(passes: readonly Bound[], times: number): Promise<number> {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass({
    timestampWrites: {
      querySet: stamps,
      beginningOfPassWriteIndex: 0,
      endOfPassWriteIndex: 1,
    },
  });
  for (let i = 0; i < times; i++) {
    for (const { pipeline, group, workgroups } of passes) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...workgroups);
    }
  }
  pass.end();
  encoder.resolveQuerySet(stamps, 0, 2, stampBuffer, 0);
  device.queue.submit([encoder.finish()]);
  const [begun, ended] = new BigUint64Array(await read(stampBuffer));
  return Number(ended! - begun!) / 1e6;
}

async function read(source: GPUBuffer): Promise<ArrayBuffer> {
  const staging = device.createBuffer({
    size: source.size,
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(source, 0, staging, 0, source.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const data = staging.getMappedRange().slice(0);
  staging.destroy();
  return data;
}

/** Operands of a product, filled with numbers around 0. */
interface Operands {
  readonly y: GPUBuffer;
  readonly a: Float32Array<ArrayBuffer>;
  readonly b: Float32Array<ArrayBuffer>;
  readonly bias: Float32Array<ArrayBuffer>;
  readonly residual: Float32Array<ArrayBuffer>;
  readonly buffers: Readonly<Record<string, GPUBuffer>>;
}

function operandsOf(dims: MatmulDims): Operands {
  const { M, N, K } = dims;
  const random = new CounterRandom(1, Purpose.init);
  const numbers = (length: number, stream: number) =>
    Float32Array.from({ length }, (_, i) => random.normal(stream, i));
  const [a, b, bias] = [numbers(M * K, 0), numbers(N * K, 1), numbers(N, 2)];
  const residual = numbers(M * N, 3);
  const y = createBuffer(new Float32Array(M * N));
  const buffers = {
    ...{ y, a: createBuffer(a), b: createBuffer(b) },
    ...dims.bias && { bias: createBuffer(bias) },
    ...dims.residual && { residual: createBuffer(residual) },
  };
  return { y, a, b, bias, residual, buffers };
}

/** Runs the passes once on y = 0 and compares elements all over y with float64. */
async function check(
  passes: readonly Bound[],
  dims: MatmulDims,
  { y, a, b, bias, residual }: Operands,
): Promise<void> {
  const { form, M, N, K } = dims;
  device.queue.writeBuffer(y, 0, new Float32Array(M * N));
  await run(passes, 1);
  const actual = new Float32Array(await read(y));
  // Partial sums grow to some √K, and the roundings of K of them add up like a random walk.
  const tolerance = 8 * Math.sqrt(K) * Math.sqrt(K) * 2 ** -24;
  for (let c = 0; c < CHECKED; c++) {
    const at = Math.floor((M * N - 1) * c / (CHECKED - 1));
    const [m, n] = [Math.floor(at / N), at % N];
    let sum = (dims.bias ? bias[n]! : 0) + (dims.residual ? residual[at]! : 0);
    for (let k = 0; k < K; k++) {
      sum += (form === "tn" ? a[k * M + m]! : a[m * K + k]!) *
        (form === "nt" ? b[n * K + k]! : b[k * N + n]!);
    }
    if (Math.abs(actual[at]! - sum) <= tolerance) continue;
    throw new Error(
      `Cannot trust ${form} ${M}x${N}x${K}: y[${m},${n}] is ${
        actual[at]
      } and should be ${sum}`,
    );
  }
}

/**
 * Returns the adapter's multiply-adds with operands in registers, in GFLOP/s: four chains of
 * vec4f in every invocation, each eight links long before the loop turns.
 */
async function peak(): Promise<number> {
  const [turns, chains, links, size, count] = [512, 4, 8, 64, 2048];
  const each = (n: number, line: (i: number) => string) =>
    Array.from({ length: n }, (_, i) => line(i));
  const code = `
@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(${size})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = y[id.x];
  ${each(chains, (i) => `var s${i} = x * ${i}.0f;`).join("\n  ")}
  for (var t = 0u; t < ${turns}u; t++) {
    ${
    each(
      links,
      () => each(chains, (i) => `s${i} = fma(s${i}, x, x);`).join(" "),
    )
      .join("\n    ")
  }
  }
  y[id.x] = ${each(chains, (i) => `s${i}`).join(" + ")};
}`;
  const y = createBuffer(new Float32Array(4 * size * count));
  const pass = {
    code,
    bindings: [{ operand: "y", access: "read_write" }] as const,
  };
  const passes = await bind(
    { passes: [{ ...pass, workgroups: [count, 1, 1] }], scratch: {} },
    { y },
  );
  const [milliseconds] = await measure([passes]);
  return 2 * 4 * chains * links * turns * size * count / milliseconds! / 1e6;
}

/** Returns the median milliseconds of each item; they take turns, so a slow moment of the machine affects all alike. */
async function measure(
  candidates: readonly (readonly Bound[])[],
): Promise<number[]> {
  const runs: { passes: readonly Bound[]; times: number; took: number[] }[] =
    [];
  for (const passes of candidates) {
    const once = await run(passes, 1);
    const times = Math.ceil(LONG_ENOUGH / Math.max(once, 0.01));
    runs.push({ passes, times, took: [] });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { passes, times, took } of runs) {
      took.push(await run(passes, times) / times);
    }
  }
  return runs.map(({ took }) => took.sort((a, b) => a - b)[took.length >> 1]!);
}

const best = await peak();
console.log(
  `${adapter.info.description}, ${target.tiling} tiles, preset ${flags.preset}; bare multiply-adds ${
    best.toFixed(0)
  } GFLOP/s`,
);
console.log(
  "form     M     N     K  each step  variant           ms  GFLOP/s  of bare  first ms",
);
let total = { milliseconds: 0, operations: 0 };
for (const { dims, count } of productsOf(preset)) {
  const { form, M, N, K } = dims;
  const operands = operandsOf(dims);
  const variants = [...variantsOf(dims)];
  const bound: Bound[][] = [];
  const first: number[] = [];
  for (const [, lowering] of variants) {
    const begun = performance.now();
    const passes = await bind(lowering, operands.buffers);
    await check(passes, dims, operands);
    first.push(performance.now() - begun);
    bound.push(passes);
  }
  const times = await measure(bound);
  variants.forEach(([name], i) => {
    const gflops = 2 * M * N * K / times[i]! / 1e6;
    console.log([
      form.padEnd(4),
      ...[M, N, K].map((n) => String(n).padStart(5)),
      String(count).padStart(10),
      "",
      name.padEnd(12),
      times[i]!.toFixed(3).padStart(8),
      gflops.toFixed(1).padStart(8),
      `${(100 * gflops / best).toFixed(0)} %`.padStart(8),
      first[i]!.toFixed(0).padStart(9),
    ].join(" "));
    if (!name.endsWith("*")) return;
    total = {
      milliseconds: total.milliseconds + count * times[i]!,
      operations: total.operations + count * 2 * M * N * K,
    };
  });
  for (const buffer of Object.values(operands.buffers)) buffer.destroy();
}
console.log(
  `products of a step: ${total.milliseconds.toFixed(0)} ms, ${
    (total.operations / total.milliseconds / 1e6).toFixed(1)
  } GFLOP/s`,
);
device.destroy();
