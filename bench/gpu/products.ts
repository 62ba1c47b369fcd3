/** Times the variants of matrix products, each of which is checked against float64 first. */

import type { Lowering } from "../../kernels/wgsl/kernel.ts";
import { matmul } from "../../kernels/wgsl/matmul.ts";
import type { MatmulDims } from "../../kernels/wgsl/matmul_product.ts";
import { registerMatmul } from "../../kernels/wgsl/matmul_register.ts";
import {
  productName,
  productVariants,
} from "../../kernels/wgsl/matmul_variants.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import type { PresetName } from "../../lib/config/presets.ts";
import { presetTraining } from "../../lib/checks/workloads.ts";
import type { Plan } from "../../lib/graph/plan.ts";
import { cachedPlan } from "../../lib/model/plans.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import type { BareDevice, Bound, Timing } from "./bare.ts";

/** Elements of each result that are checked. */
const CHECKED = 400;

/** A product, and how often a step runs it. */
export interface StepProduct {
  readonly dims: MatmulDims;
  readonly times: number;
}

/** A timed variant of a product. */
export interface TimedVariant {
  /** The name of the product: its form and sizes. */
  readonly product: string;
  readonly variant: string;
  /** True for the variant that the builder chooses. */
  readonly chosen: boolean;
  readonly ms: number;
  readonly gflops: number;
  /** Milliseconds of compiling, the first run and its check. */
  readonly firstMs: number;
}

/** Returns the products of a training step of a preset, those of Muon included. */
export function productsOf(preset: PresetName): StepProduct[] {
  const { model, train } = presetTraining(preset);
  const shape = { B: train.batchSize, T: model.blockSize };
  return productsIn(trainPlan(model, train, shape));
}

/** Returns the products of a token of text, one row at a time and 32. */
export function decodingProductsOf(preset: PresetName): StepProduct[] {
  const { model } = presetTraining(preset);
  return [1, 32].flatMap((B) => productsIn(cachedPlan(model, { B, T: 1 })));
}

function productsIn({ dispatches }: Plan): StepProduct[] {
  const products = new Map<string, StepProduct>();
  for (const { kernel, dims } of dispatches) {
    if (kernel !== "matmul") continue;
    const key = JSON.stringify(dims);
    const times = (products.get(key)?.times ?? 0) + 1;
    products.set(key, { dims, times });
  }
  return [...products.values()].sort((a, b) =>
    productName(a.dims).localeCompare(productName(b.dims))
  );
}

/** Returns ways to compute a product by name, the builder's own first. */
function variantsOf(
  dims: MatmulDims,
  { target }: BareDevice,
  most: number,
): [name: string, Lowering][] {
  const named: [string, Lowering][] = [];
  if (target.tiling === "register") {
    for (const [rows, columns] of [[8, 8], [16, 16], [24, 16], [32, 16]]) {
      const units = dims.N % 4 === 0 ? columns! / 4 : columns!;
      const tile = { rows: rows!, units };
      named.push([`${rows}x${columns}`, registerMatmul(dims, target, tile)]);
    }
  } else {
    for (const { name, lower } of productVariants(dims, target)) {
      named.push([name, lower()]);
    }
  }
  const chosen = matmul(dims, target);
  const code = chosen.passes.map(({ code }) => code).join();
  const isSame = ([, { passes }]: [string, Lowering]) =>
    passes.map(({ code }) => code).join() === code;
  const name = named.find(isSame)?.[0] ?? "builder";
  const others = named.filter((one) => !isSame(one));
  return [[name, chosen], ...others.slice(0, most - 1)];
}

/** Operands of a product, filled with numbers around 0. */
interface Operands {
  readonly y: GPUBuffer;
  readonly numbers: Readonly<Record<string, Float32Array<ArrayBuffer>>>;
  readonly buffers: Readonly<Record<string, GPUBuffer>>;
}

function operandsOf(dims: MatmulDims, device: BareDevice): Operands {
  const { count, M, N, K } = dims;
  const random = new CounterRandom(1, Purpose.init);
  const drawn = (length: number, stream: number) =>
    Float32Array.from({ length }, (_, i) => random.normal(stream, i));
  const numbers: Record<string, Float32Array<ArrayBuffer>> = {
    ...{ a: drawn(count * M * K, 0), b: drawn(count * N * K, 1) },
    ...dims.bias && { bias: drawn(N, 2) },
    ...dims.residual && { residual: drawn(count * M * N, 3) },
    ...dims.slope !== null && { x: drawn(count * M * N, 4) },
  };
  const y = device.empty(count * M * N);
  const buffers: Record<string, GPUBuffer> = {
    y,
    ...dims.activation !== null && { z: device.empty(count * M * N) },
    ...dims.sums && { db: device.empty(M) },
  };
  for (const [name, values] of Object.entries(numbers)) {
    buffers[name] = device.buffer(values);
  }
  return { y, numbers, buffers };
}

/** Runs the passes once on y = 0 and compares elements all over y with float64; with a slope only that y is finite. */
async function check(
  device: BareDevice,
  passes: Bound,
  dims: MatmulDims,
  { y, numbers }: Operands,
): Promise<void> {
  const { form, count, M, N, K, alpha, beta } = dims;
  const { a, b, bias, residual } = numbers;
  const zeros = new Float32Array(count * M * N);
  device.device.queue.writeBuffer(y, 0, zeros);
  await device.run(passes, 1);
  const actual = new Float32Array(await device.read(y));
  // Partial sums grow to some √K, and the roundings of K of them add up like a random walk.
  const tolerance = 8 * Math.sqrt(K) * Math.sqrt(K) * 2 ** -24;
  for (let c = 0; c < CHECKED; c++) {
    const at = Math.floor((actual.length - 1) * c / (CHECKED - 1));
    const [i, m, n] = [
      Math.floor(at / N / M),
      Math.floor(at / N) % M,
      at % N,
    ];
    let sum = 0;
    for (let k = 0; k < K; k++) {
      sum += a![i * M * K + (form === "tn" ? k * M + m : m * K + k)]! *
        b![i * N * K + (form === "nt" ? n * K + k : k * N + n)]!;
    }
    sum = alpha * sum + (bias?.[n] ?? 0) + beta * (residual?.[at] ?? 0);
    const isRight = dims.slope !== null
      ? Number.isFinite(actual[at])
      : Math.abs(actual[at]! - sum) <= tolerance;
    if (isRight) continue;
    throw new Error(
      `Cannot trust ${productName(dims)}: y[${i},${m},${n}] is ${
        actual[at]
      } and should be ${sum}`,
    );
  }
}

/** Times up to `most` variants of a product. */
export async function timeVariants(
  dims: MatmulDims,
  device: BareDevice,
  { most = Infinity, ...timing }: Timing & { readonly most?: number },
): Promise<TimedVariant[]> {
  const operands = operandsOf(dims, device);
  const variants = variantsOf(dims, device, most);
  const bound: Bound[] = [];
  const first: number[] = [];
  for (const [, lowering] of variants) {
    const begun = performance.now();
    const passes = await device.bind(lowering, operands.buffers);
    await check(device, passes, dims, operands);
    first.push(performance.now() - begun);
    bound.push(passes);
  }
  const times = await device.measure(bound, timing);
  for (const buffer of Object.values(operands.buffers)) buffer.destroy();
  const { count, M, N, K } = dims;
  return variants.map(([variant], i) => ({
    product: productName(dims),
    variant,
    chosen: i === 0,
    ms: times[i]!,
    gflops: 2 * count * M * N * K / times[i]! / 1e6,
    firstMs: first[i]!,
  }));
}
