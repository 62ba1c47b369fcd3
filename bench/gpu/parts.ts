/**
 * The parts of `bench/gpu.ts`, each of which runs in a process of its own. A part returns plain
 * data for JSON, and lines for people.
 */

import { compareSteps } from "../../lib/checks/steps.ts";
import { checkCase, describe, sizeOf } from "../../lib/checks/conformance.ts";
import { conformanceCases } from "../../lib/checks/conformance_cases.ts";
import { presetTraining } from "../../lib/checks/workloads.ts";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import type { PresetName } from "../../lib/config/presets.ts";
import { Model } from "../../lib/model/model.ts";
import { BareDevice, isSoftware } from "./bare.ts";
import {
  decodingProductsOf,
  productsOf,
  type TimedVariant,
  timeVariants,
} from "./products.ts";
import {
  bareMultiplyAdds,
  chains,
  copyBandwidth,
  hostOverheads,
  workgroupBandwidth,
  zeroingMs,
} from "./roofline.ts";
import { type RowTimes, timeRows } from "./rows.ts";
import { timeOps, timeSteps } from "./steps.ts";

/** Measurements of a part. */
export interface Measured {
  /** Plain data. */
  readonly data: unknown;
  /** The same for people. */
  readonly lines: readonly string[];
  /** False if something is wrong with the device, e.g. a kernel's result. */
  readonly good?: boolean;
}

/** Amount of work of a part. */
export interface Extent {
  /** True for a rehearsal on a software adapter, in seconds. */
  readonly quick: boolean;
  /** Seconds after which a part should end by itself, with what it has. */
  readonly seconds: number;
}

/** A part. */
export type Part = (extent: Extent) => Promise<Measured>;

/** Presets, the smallest step first. */
const presets: readonly PresetName[] = [
  ...["tiny", "original", "nano-cpu", "default", "nano-gpu"] as const,
];

const any = { adapter: "any" } as const;

/** Returns true while a part has time for more. */
function clock({ seconds }: Extent): () => boolean {
  const end = performance.now() + 1000 * seconds;
  return () => performance.now() < end;
}

function timing({ quick }: Extent) {
  return quick ? { longEnough: 1, rounds: 1 } : { longEnough: 20, rounds: 5 };
}

async function adapter(): Promise<Measured> {
  using device = await BareDevice.open();
  const { info, features } = device.adapter;
  // The names of the limits are getters of the prototype.
  const limits = Object.fromEntries(
    Object.keys(Object.getOwnPropertyDescriptors(GPUSupportedLimits.prototype))
      .map((name) => [name, Reflect.get(device.adapter.limits, name)])
      .filter(([, value]) => typeof value === "number"),
  );
  const { vendor, architecture, description } = info;
  const software = isSoftware(device.adapter);
  const named = { vendor, architecture, description, software };
  return {
    data: { ...named, features: [...features], limits },
    lines: [
      `${description}${software ? ", software" : ""}`,
      `features: ${[...features].sort().join(" ")}`,
    ],
  };
}

/** Checks kernels against float64. The first case of a kernel takes the time of compiling it. */
function conformance(tiling: "register" | "workgroup"): Part {
  return async (extent) => {
    const goesOn = clock(extent);
    const faults: string[] = [];
    const slow: { name: string; ms: number }[] = [];
    let cases = 0;
    await using backend = await openWebGpu({ ...any, tiling });
    const small = conformanceCases.filter((test) =>
      sizeOf(test) <= (extent.quick ? 1 << 12 : Infinity)
    );
    const kernels = Map.groupBy(small, ({ kernel }) => kernel);
    const tests = extent.quick
      ? [...kernels.values()].map(([first]) => first!)
      : small;
    for (const test of tests) {
      if (!goesOn()) break;
      const begun = performance.now();
      try {
        await checkCase(backend, test);
      } catch (error) {
        faults.push(`${describe(test)}: ${(error as Error).message}`);
      }
      cases++;
      slow.push({ name: describe(test), ms: performance.now() - begun });
    }
    slow.sort((a, b) => b.ms - a.ms);
    return {
      data: { cases, of: tests.length, faults, slowest: slow.slice(0, 20) },
      lines: [
        `${
          cases - faults.length
        } of ${tests.length} cases right, ${faults.length} wrong`,
        `slowest: ${slow[0]?.name}, ${slow[0]?.ms.toFixed(0)} ms`,
        ...faults.slice(0, 10),
      ],
      good: faults.length === 0,
    };
  };
}

/** Compares one and ten steps of each preset with the CPU engine. */
async function against(extent: Extent): Promise<Measured> {
  const goesOn = clock(extent);
  const data: Record<string, unknown>[] = [];
  for (const preset of extent.quick ? presets.slice(0, 1) : presets) {
    for (const steps of [1, 10] as const) {
      if (!goesOn() || (steps === 10 && preset === "nano-gpu")) continue;
      await using gpu = await openWebGpu(any);
      await using cpu = await openWasm();
      const subject = presetTraining(preset);
      const finding = await compareSteps(gpu, cpu, subject, { steps });
      data.push({ preset, steps, ...finding });
    }
  }
  return {
    data,
    lines: data.map(({ preset, steps, status, found }) =>
      `${preset}, ${steps} steps: ${status}, ${found}`
    ),
    good: data.every(({ status }) => status === "ok"),
  };
}

async function overheads({ quick }: Extent): Promise<Measured> {
  using device = await BareDevice.open();
  const lengths = quick ? [1, 10] : [1, 100, 500];
  const host = await hostOverheads(device);
  const runs = await chains(device, lengths);
  return {
    data: { ...host, chains: runs },
    lines: [
      `a submission ${host.submitMs.toFixed(3)} ms, a read ${
        host.mapMs.toFixed(3)
      } ms`,
      ...runs.map(({ length, hostMs, deviceMs }) =>
        `${length} dispatches: ${deviceMs.toFixed(3)} ms on the device, ${
          hostMs.toFixed(3)
        } ms with the read`
      ),
    ],
  };
}

async function roofline(extent: Extent): Promise<Measured> {
  using device = await BareDevice.open();
  const time = timing(extent);
  const data = {
    multiplyAddGflops: await bareMultiplyAdds(device, time),
    copyGigabytes: await copyBandwidth(device, time, extent.quick ? 4 : 256),
    workgroupGigabytes: await workgroupBandwidth(device, time),
    zeroing13KibMs: await zeroingMs(device, time),
  };
  return {
    data,
    lines: [
      `multiply-adds ${data.multiplyAddGflops.toFixed(0)} GFLOP/s`,
      `copy ${data.copyGigabytes.toFixed(1)} GB/s, workgroup memory ${
        data.workgroupGigabytes.toFixed(0)
      } GB/s`,
      `zeroing 13 KiB in 4096 workgroups ${data.zeroing13KibMs.toFixed(3)} ms`,
    ],
  };
}

/** Times the variants of the presets' products, and Muon's, largest preset first. */
async function products(extent: Extent): Promise<Measured> {
  const goesOn = clock(extent);
  using device = await BareDevice.open(extent.quick ? "workgroup" : undefined);
  const time = timing(extent);
  const gflops = await bareMultiplyAdds(device, time);
  const timed: (TimedVariant & { readonly preset: PresetName })[] = [];
  const names: PresetName[] = extent.quick
    ? ["tiny"]
    : ["nano-gpu", "original", "default"];
  for (const preset of names) {
    const all = [...productsOf(preset), ...decodingProductsOf(preset)];
    for (const { dims } of all) {
      if (!goesOn() || (extent.quick && timed.length > 0)) break;
      const most = extent.quick ? 2 : Infinity;
      for (const one of await timeVariants(dims, device, { ...time, most })) {
        timed.push({ preset, ...one });
      }
    }
  }
  const best = new Map<string, TimedVariant>();
  for (const one of timed) {
    const known = best.get(one.product);
    if (known === undefined || one.ms < known.ms) best.set(one.product, one);
  }
  const percent = ({ gflops: one }: TimedVariant) =>
    `${(100 * one / gflops).toFixed(0)} %`;
  return {
    data: {
      multiplyAddGflops: gflops,
      timed,
      // The table for `openWebGpu({ products })`.
      products: Object.fromEntries(
        [...best.values()].filter(({ chosen }) => !chosen)
          .map(({ product, variant }) => [product, variant]),
      ),
    },
    lines: timed.filter(({ chosen }) => chosen).map((one) => {
      const fastest = best.get(one.product)!;
      return `${one.product}: ${one.variant} ${percent(one)} of bare, best ${
        fastest === one ? "the same" : `${fastest.variant} ${percent(fastest)}`
      }`;
    }),
  };
}

/** Times reductions of rows as trees and in subgroups, where the adapter has them. */
async function rows(extent: Extent): Promise<Measured> {
  const goesOn = clock(extent);
  const data: Record<string, RowTimes | string> = {};
  for (const preset of extent.quick ? presets.slice(0, 1) : presets) {
    if (!goesOn()) break;
    try {
      data[preset] = await timeRows(preset, { rounds: extent.quick ? 1 : 3 });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      data[preset] = error.message;
      break;
    }
  }
  return {
    data,
    lines: Object.entries(data).map(([preset, times]) =>
      `${preset}: ${
        typeof times === "string"
          ? times
          : `trees ${times.tree.toFixed(3)} ms a step, subgroups ${
            times.subgroups.toFixed(3)
          } ms`
      }`
    ),
  };
}

/** Times the steps of presets, whole and by kernel. */
async function steps(extent: Extent): Promise<Measured> {
  const goesOn = clock(extent);
  const data: Record<string, unknown>[] = [];
  const lines: string[] = [];
  for (const preset of extent.quick ? presets.slice(0, 1) : presets) {
    if (!goesOn()) break;
    const counts = extent.quick
      ? { steps: 1, rounds: 1 }
      : { steps: 10, rounds: 5 };
    const whole = await openWebGpu(any);
    const time = await timeSteps(whole, preset, counts);
    await whole[Symbol.asyncDispose]();
    await using backend = await openWebGpu({ ...any, profile: true });
    const ops = await timeOps(backend, preset, counts.rounds);
    const inKernels = ops.reduce((sum, { ms }) => sum + ms, 0);
    data.push({ preset, ...time, inKernels, ops });
    lines.push(
      `${preset}: ${time.ms.toFixed(2)} ms a step, ${
        time.gflops.toFixed(0)
      } GFLOP/s, ${inKernels.toFixed(2)} ms in kernels; first after ${
        time.firstMs.toFixed(0)
      } ms`,
      ...ops.slice(0, 5).map(({ name, count, ms, gflops, gigabytes }) =>
        `  ${name} ${count} x: ${ms.toFixed(3)} ms, ${
          gflops > 0
            ? `${gflops.toFixed(0)} GFLOP/s`
            : `${gigabytes.toFixed(0)} GB/s`
        }`
      ),
    );
  }
  return { data, lines };
}

/** Times generated text, one row and 32 rows. */
async function text(extent: Extent): Promise<Measured> {
  const goesOn = clock(extent);
  const data: Record<string, unknown>[] = [];
  const names: PresetName[] = extent.quick ? ["tiny"] : ["tiny", "original"];
  for (const preset of names) {
    await using backend = await openWebGpu(any);
    const { model: config } = presetTraining(preset);
    await using model = await Model.create(config, { backend });
    for (const rows of [1, 32]) {
      if (!goesOn()) break;
      const maxNewTokens = extent.quick ? 8 : config.blockSize;
      const prompts = Array.from({ length: rows }, () => [0]);
      const sampler = { temperature: 0.9, topK: 10, seed: 1 };
      const draw = async () => {
        const options = { maxNewTokens, sampler };
        for await (const _ of model.generateBatch(prompts, options));
      };
      await draw();
      const begun = performance.now();
      await draw();
      const seconds = (performance.now() - begun) / 1000;
      const perSecond = rows * maxNewTokens / seconds;
      data.push({ preset, rows, tokensPerSecond: perSecond });
    }
  }
  return {
    data,
    lines: data.map(({ preset, rows, tokensPerSecond }) =>
      `${preset}, ${rows} rows: ${
        (tokensPerSecond as number).toFixed(0)
      } tokens/s`
    ),
  };
}

/** The parts by name. */
export const parts: Readonly<Record<string, Part>> = {
  adapter,
  "conformance-workgroup": conformance("workgroup"),
  "conformance-register": conformance("register"),
  against,
  overheads,
  roofline,
  products,
  rows,
  steps,
  text,
};

if (import.meta.main) {
  const [name, quick, seconds] = Deno.args as [string, string, string];
  const extent = { quick: quick === "quick", seconds: Number(seconds) };
  const measured = await parts[name]!(extent);
  console.log(JSON.stringify(measured));
  Deno.exit(measured.good === false ? 1 : 0);
}
