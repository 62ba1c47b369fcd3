/**
 * The choice behind `--device auto` for one piece of work: measures a GPU and the CPU engine with the work itself, and
 * compares their results before the GPU is trusted for the first time.
 */

import type { Backend, Numbers } from "../backends/backend.ts";
import {
  type Device,
  type DeviceOptions,
  openBackend,
  openHardware,
} from "../backends/open.ts";
import type { ModelConfig } from "../config/model.ts";
import type { Checkpoint, CheckpointFile } from "../formats/checkpoint.ts";
import { Model } from "../model/model.ts";
import { flopsPerToken } from "../model/parameters.ts";
import { PartRunner } from "../model/parts.ts";
import { MOST_TOKENS, parameterLayout } from "../model/plans.ts";
import { isRefusal, refusal, withoutHint } from "../refusal.ts";
import { Sampler } from "../text/sampler.ts";
import { FixedSampler } from "./side_by_side.ts";
import { compareSteps } from "./steps.ts";
import { randomIds } from "./variants.ts";
import { RandomSteps, type Training } from "./workloads.ts";

/** Shortest measurement in milliseconds; the four of a training step take less than 0.3 s in all, unless a run is longer. */
const MEASURE_MS = 30;

/** Floating-point operations of a measured step on the CPU: larger steps are measured with fewer rows. */
const CPU_FLOPS = 1e9;

/** Largest difference of two devices' logits, relative to the largest logit. */
const LOGITS_TOLERANCE = 1e-3;

/** Tokens of the texts that are compared. */
const COMPARED_TOKENS = 16;

/** Work that either device can do. */
export interface Work {
  /** Unit of the measured time. */
  readonly unit: "step" | "token" | "batch";
  /** Text that identifies the shape of the work. */
  readonly shape: string;
  /** True if the CPU engine cannot do it: it is measured and compared with the same work in float32. */
  readonly needsGpu?: boolean;
  /** Returns the milliseconds of one unit on a device. */
  time(backend: Backend): Promise<number>;
  /** Returns how the GPU's results differ from the CPU's by more than rounding; undefined if they do not. */
  difference(gpu: Backend, cpu: Backend): Promise<string | undefined>;
}

/** Result of measuring both devices. */
export interface DeviceVerdict {
  /** Milliseconds of a unit of work on the GPU; null if it failed. */
  readonly gpuMs: number | null;
  /** Milliseconds of a unit of work on the CPU. */
  readonly cpuMs: number;
  /** Reason why the GPU is not used, other than its time: an error, or wrong results; null if there is none. */
  readonly refused: string | null;
}

/** Store of verdicts, by a key made of the devices, the GPU's variants of products, and the work. */
export interface VerdictStore {
  /** Returns the verdict of this key. */
  get(key: string): Promise<DeviceVerdict | undefined>;
  /** Keeps a verdict. */
  set(key: string, verdict: DeviceVerdict): Promise<void>;
}

/** A chosen device. */
export interface DeviceChoice {
  readonly device: Exclude<Device, "auto" | "reference">;
  /** Times of both devices, and the reason if the faster one was not taken; absent if there is only one device. */
  readonly verdict?: DeviceVerdict;
}

/**
 * Chooses the device for a piece of work: the faster of a hardware GPU and the CPU engine. A GPU is chosen only if its results agree
 * with the CPU engine's.
 *
 * @throws {RangeError} if the work needs a GPU, and there is none or it is wrong
 * @param options.store verdicts of earlier calls; a known one is not measured again
 * @param options.onMeasure called before the first measurement, which may take seconds, as kernels are compiled
 */
export async function chooseDevice(
  work: Work,
  { blas, products, store, onMeasure }:
    & Pick<
      DeviceOptions,
      "blas" | "products"
    >
    & {
      readonly store?: VerdictStore | undefined;
      readonly onMeasure?: ((gpu: Backend) => void) | undefined;
    } = {},
): Promise<DeviceChoice> {
  await using gpu = await openHardware({ products });
  if (gpu === undefined && work.needsGpu) {
    throw refusedHalves("the machine has no hardware GPU");
  }
  if (gpu === undefined) return { device: "wasm" };
  await using cpu = await openBackend("wasm", { blas });
  // The GPU's time is that of the variants in its table.
  const table = JSON.stringify(products?.[gpu.description] ?? {});
  const key = [gpu, cpu].map(({ description }) => description)
    .concat(work.unit, work.shape, table).join("\n");
  let verdict = await store?.get(key);
  if (verdict === undefined) {
    onMeasure?.(gpu);
    verdict = await measure(work, gpu, cpu);
    // A failure may pass: another program may have taken the memory.
    if (verdict.gpuMs !== null) await store?.set(key, verdict);
  }
  const { gpuMs, cpuMs, refused } = verdict;
  if (work.needsGpu) {
    if (refused !== null) throw refusedHalves(refused);
    return { device: "webgpu", verdict };
  }
  const isGpu = gpuMs !== null && gpuMs < cpuMs && refused === null;
  return { device: isGpu ? "webgpu" : "wasm", verdict };
}

function refusedHalves(reason: string): RangeError {
  return refusal(RangeError, "train with precision f16", reason, {
    hint: "precision f32 needs no GPU; device webgpu also takes a software one",
    fields: ["precision", "device"],
  });
}

async function measure(
  work: Work,
  gpu: Backend,
  cpu: Backend,
): Promise<DeviceVerdict> {
  const cpuMs = await work.time(cpu);
  try {
    const gpuMs = await work.time(gpu);
    const isWanted = gpuMs < cpuMs || work.needsGpu;
    const refused = isWanted ? await work.difference(gpu, cpu) : undefined;
    return { gpuMs, cpuMs, refused: refused ?? null };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { gpuMs: null, cpuMs, refused: withoutHint(error) };
  }
}

/** Returns the milliseconds of one run, repeated until {@linkcode MEASURE_MS} have passed. */
async function timeOf(
  backend: Backend,
  run: () => void | Promise<void>,
): Promise<number> {
  const milliseconds = async (runs: number) => {
    const begun = performance.now();
    for (let i = 0; i < runs; i++) await run();
    await backend.finish();
    return performance.now() - begun;
  };
  let runs = 1;
  await milliseconds(runs); // The first run on a GPU may still compile.
  let took = await milliseconds(runs);
  while (took < MEASURE_MS) took = await milliseconds(runs *= 2);
  return took / runs;
}

/** Returns the rows of a measured batch: all on a GPU, and on the CPU as many as it computes in a short time. */
function measuredRows(
  config: ModelConfig,
  { kind }: Backend,
  rows: number,
): number {
  const flops = config.blockSize *
    flopsPerToken(config, parameterLayout(config));
  return kind === "webgpu"
    ? rows
    : Math.max(1, Math.min(rows, Math.floor(CPU_FLOPS / flops)));
}

/** Returns the work of training steps. */
export function trainingWork(training: Training): Work {
  const { model, train } = training;
  return {
    unit: "step",
    shape: JSON.stringify([
      model,
      train.batchSize,
      train.gradAccumulation,
      train.optimizer,
      train.precision,
    ]),
    needsGpu: train.precision === "f16",
    async time(backend) {
      const rows = measuredRows(model, backend, train.batchSize);
      const precision = backend.kind === "webgpu" ? train.precision : "f32";
      const own = { model, train: { ...train, precision } };
      await using steps = await RandomSteps.open(backend, own, rows);
      const program = await steps.compile();
      steps.fill(program);
      // In submissions of a length that no driver's watchdog ends, as in training.
      const runner = new PartRunner(program, backend, "gradient");
      const gradient = await timeOf(backend, async () => {
        steps.begin(program);
        await runner.run();
      });
      const update = await timeOf(backend, () => {
        steps.begin(program);
        program.run(["update"]);
      });
      return train.gradAccumulation * gradient * train.batchSize / rows +
        update;
    },
    async difference(gpu, cpu) {
      const { status, found } = await compareSteps(gpu, cpu, training);
      return status === "ok" ? undefined : found;
    },
  };
}

/** Draws on the host, from the logits of each token, also with a GPU. */
export class HostSampler extends Sampler {
  override sampleBatch(
    ...options: Parameters<Sampler["sampleBatch"]>
  ): Int32Array {
    return super.sampleBatch(...options);
  }
}

/**
 * Returns the work of generating text with a checkpoint.
 *
 * @param options.reads true if the host reads the logits of each token, as a session in a page does
 */
export function textWork(
  checkpoint: Checkpoint | CheckpointFile,
  { reads = false }: { readonly reads?: boolean } = {},
): Work {
  const { config } = checkpoint;
  return {
    unit: "token",
    shape: JSON.stringify(config) + (reads ? ", read" : ""),
    async time(backend) {
      await using model = await Model.load(checkpoint, { backend });
      const sampler = reads ? new HostSampler() : new Sampler();
      const options = { maxNewTokens: 2 ** 20, sampler };
      const tokens = model.generate([0], options);
      const block = backend.kind === "webgpu" && !reads ? MOST_TOKENS : 1;
      try {
        const ms = await timeOf(backend, async () => {
          for (let i = 0; i < block; i++) await tokens.next();
        });
        return ms / block;
      } finally {
        await tokens.return();
      }
    },
    difference: async (gpu, cpu) =>
      await differentLogits(continuation, checkpoint, { gpu, cpu }) ??
        await differentTokens(checkpoint, gpu),
  };
}

/** Returns the work of evaluating a checkpoint on batches of full windows. */
export function evaluationWork(
  checkpoint: Checkpoint | CheckpointFile,
  rows: number,
): Work {
  const { config } = checkpoint;
  const { blockSize: T, vocabSize } = config;
  return {
    unit: "batch",
    shape: JSON.stringify([config, rows]),
    async time(backend) {
      const B = measuredRows(config, backend, rows);
      await using model = await Model.load(checkpoint, { backend });
      const tokens = randomIds(B * T, { vocabSize });
      const batch = { B, T, tokens, targets: tokens, count: B * T };
      const evaluate = async () => void await model.evaluate([batch]);
      return await timeOf(backend, evaluate) * rows / B;
    },
    difference: (gpu, cpu) =>
      differentLogits(fullPass, checkpoint, { gpu, cpu }),
  };
}

/** Computes logits to compare. */
type Compute = (model: Model) => Promise<readonly Numbers[]>;

/** Computes the logits of one window in a full pass. */
const fullPass: Compute = async (model) => {
  const { blockSize: T, vocabSize } = model.config;
  return [await model.forward(randomIds(T, { vocabSize }), { B: 1, T })];
};

/** Computes the logits after a prompt of half a window, and after each of some tokens that follow it. */
const continuation: Compute = async (model) => {
  const { blockSize, vocabSize } = model.config;
  const sampler = new FixedSampler(randomIds(COMPARED_TOKENS, { vocabSize }));
  const prompt = randomIds(Math.ceil(blockSize / 2), { vocabSize, seed: 2 });
  const options = { sampler, maxNewTokens: COMPARED_TOKENS };
  await Array.fromAsync(model.generate(prompt, options));
  return sampler.logits;
};

/** Returns how logits differ on two devices; undefined if only by rounding. */
async function differentLogits(
  compute: Compute,
  checkpoint: Checkpoint | CheckpointFile,
  { gpu, cpu }: { readonly gpu: Backend; readonly cpu: Backend },
): Promise<string | undefined> {
  const logits = async (backend: Backend) => {
    await using model = await Model.load(checkpoint, { backend });
    return await compute(model);
  };
  const [actual, expected] = [await logits(gpu), await logits(cpu)];
  let [largest, most] = [0, 0];
  for (const [step, row] of expected.entries()) {
    for (const [i, x] of row.entries()) {
      largest = Math.max(largest, Math.abs(x));
      most = Math.max(most, Math.abs(x - actual[step]![i]!));
    }
  }
  return most <= LOGITS_TOLERANCE * largest
    ? undefined
    : `its logits differ from the CPU's by ${most.toPrecision(2)}`;
}

/** Returns how the tokens that a GPU chooses differ from those that the host chooses from its logits; undefined if they do not. */
async function differentTokens(
  checkpoint: Checkpoint | CheckpointFile,
  gpu: Backend,
): Promise<string | undefined> {
  await using model = await Model.load(checkpoint, { backend: gpu });
  const texts: number[][] = [];
  for (const Kind of [Sampler, HostSampler]) {
    const sampler = new Kind({ seed: 1 });
    const options = { sampler, maxNewTokens: COMPARED_TOKENS };
    texts.push(await Array.fromAsync(model.generate([0], options)));
  }
  const [chosen, drawn] = texts as [number[], number[]];
  return chosen.join() === drawn.join()
    ? undefined
    : "it chooses other tokens than the CPU from the same logits";
}
