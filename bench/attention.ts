/**
 * Times the attention kernels on this machine's WebGPU adapter, with both families of
 * kernels: a layer's forward and backward passes at the shapes of the presets, and
 * decoding and prefill over a cache. "first" is the first run, which is mostly compilation
 * unless the driver has the kernel in its cache (MESA_SHADER_CACHE_DISABLE=true
 * turns Mesa's off).
 *
 *     deno run -A bench/attention.ts [--shape original|nano-cpu|nano-gpu] [--rounds 9] [--tiling register|workgroup]
 */

import type { AttentionDropoutDims } from "../kernels/vocabulary.ts";
import {
  openWebGpu,
  type WebGpuBackend,
} from "../lib/backends/webgpu/engine.ts";
import type { BufferSpec, Dispatch, Operand, Plan } from "../lib/graph/plan.ts";
import { CounterRandom, Purpose } from "../kernels/random.ts";
import { readFlags } from "../tools/flags.ts";
import { median } from "../tools/soak/trend.ts";

/** Batch, positions, heads, head size and dropout of a layer. */
const SHAPES = {
  original: { B: 16, T: 128, NH: 4, HS: 32, dropout: 0 },
  "nano-cpu": { B: 12, T: 64, NH: 4, HS: 32, dropout: 0 },
  "nano-gpu": { B: 64, T: 256, NH: 6, HS: 64, dropout: 0.2 },
} as const;

const { flags } = readFlags({
  ...{ shape: "original", rounds: "9", tiling: undefined },
});
const shape = SHAPES[flags.shape as keyof typeof SHAPES];
const rounds = Number(flags.rounds);
const { B, T, NH, HS } = shape;
const C = NH * HS;
const dims: AttentionDropoutDims = {
  ...shape,
  NKV: NH,
  scale: 1 / Math.sqrt(HS),
  mask: "causal",
  maskValue: 0,
  slopes: [],
  site: 0,
};

/** A plan under construction: buffers by name, and dispatches on whole buffers. */
class Sketch {
  readonly buffers: BufferSpec[] = [];
  readonly dispatches: Dispatch[] = [];

  /** Returns operands by name; a new name becomes a buffer of the given length. */
  operands(lengths: Readonly<Record<string, number>>): Operand[] {
    return Object.entries(lengths).map(([name, length]) => {
      let buffer = this.buffers.findIndex((spec) => spec.name === name);
      if (buffer < 0) {
        const dtype = /key|start|count/.test(name) ? "i32" : "f32";
        buffer = this.buffers.push({ name, kind: "input", dtype, length }) - 1;
      }
      return { buffer, offset: 0, length };
    });
  }

  plan(name: string): Plan {
    const { buffers, dispatches } = this;
    return { name, buffers, dispatches, phases: {} };
  }
}

/** Returns a layer's training step. */
function training(): Plan {
  const sketch = new Sketch();
  const [qkv, dqkv] = [{ qkv: 3 * B * T * C }, { dqkv: 3 * B * T * C }];
  const [y, dy] = [{ y: B * T * C }, { dy: B * T * C }];
  const lse = { lse: B * NH * T };
  const key = dims.dropout > 0 ? { key: 4 } : {};
  sketch.dispatches.push({
    kernel: "attention",
    outputs: sketch.operands({ ...y, ...lse }),
    inputs: sketch.operands({ ...qkv, ...key }),
    dims,
    label: "forward",
  }, {
    kernel: "attentionBackward",
    outputs: sketch.operands(dqkv),
    inputs: sketch.operands({ ...dy, ...y, ...lse, ...qkv, ...key }),
    dims,
    label: "backward",
  });
  return sketch.plan("training");
}

/** Plans one sequence against a cache that is full after it. */
function generation(queries: number): Plan {
  const sketch = new Sketch();
  const cacheDims = { ...dims, B: 1, T: queries, L: T };
  const qkv = { [`qkv${queries}`]: 3 * queries * C };
  const cache = { cache: 2 * T * C };
  const span = { start: 1, count: 1 };
  sketch.dispatches.push({
    kernel: "cacheAppend",
    outputs: sketch.operands(cache),
    inputs: sketch.operands({ ...qkv, ...span }),
    dims: cacheDims,
    label: `append ${queries} of ${T}`,
  }, {
    kernel: "attentionCached",
    outputs: sketch.operands({ y: queries * C }),
    inputs: sketch.operands({ ...qkv, ...cache, ...span }),
    dims: cacheDims,
    label: `attend from ${queries} of ${T}`,
  });
  return sketch.plan(`generation of ${queries}`);
}

/** Fills the buffers: normal numbers, and the cache's last positions as those of the queries. */
function content({ name, length }: BufferSpec, queries: number): number[] {
  if (name === "start") return [T - queries];
  if (name === "count") return [queries];
  const random = new CounterRandom(1, Purpose.init);
  return Array.from({ length }, (_, i) => random.normal(0, i));
}

/** Returns the floating-point operations of a causal layer: only its products, and backward also those that two passes compute twice. */
function operations(kernel: Dispatch["kernel"]): number {
  const products = { attention: 2, attentionBackward: 7 }[kernel as string] ??
    0;
  return products * 2 * B * NH * HS * T * (T + 1) / 2;
}

/** Returns the median milliseconds of each dispatch, and of the first run as a whole. */
async function measure(
  backend: WebGpuBackend,
  plan: Plan,
  queries: number,
): Promise<{ first: number; medians: number[] }> {
  const program = await backend.compile(plan, new Map());
  for (const spec of plan.buffers) {
    program.buffer(spec.name).write(content(spec, queries));
  }
  await backend.finish();
  const begun = performance.now();
  program.run();
  await backend.finish();
  const first = performance.now() - begun;
  const times = plan.dispatches.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    program.run();
    (await program.profile()).forEach(({ nanoseconds }, i) =>
      times[i]!.push(nanoseconds / 1e6)
    );
  }
  program.destroy();
  return { first, medians: times.map(median) };
}

const tilings = (["register", "workgroup"] as const).filter((tiling) =>
  tiling === (flags.tiling ?? tiling)
);
for (const tiling of tilings) {
  await using backend = await openWebGpu({
    adapter: "any",
    profile: true,
    tiling,
  });
  console.log(
    `${backend.description}, ${tiling} tiles: ${flags.shape} ${
      JSON.stringify(shape)
    }`,
  );
  const plans = [
    { plan: training(), queries: T },
    { plan: generation(T / 2), queries: T / 2 },
    { plan: generation(1), queries: 1 },
  ];
  for (const { plan, queries } of plans) {
    const { first, medians } = await measure(backend, plan, queries);
    plan.dispatches.forEach(({ kernel, label }, i) => {
      const rate = operations(kernel) / medians[i]! / 1e6;
      console.log(
        `${label.padEnd(28)} ${medians[i]!.toFixed(3).padStart(9)} ms ${
          rate > 0 ? `${rate.toFixed(1).padStart(8)} GFLOP/s` : ""
        }`,
      );
    });
    const total = medians.reduce((sum, ms) => sum + ms, 0);
    console.log(
      `${plan.name.padEnd(28)} ${total.toFixed(3).padStart(9)} ms, first ${
        first.toFixed(0)
      } ms`,
    );
  }
}
