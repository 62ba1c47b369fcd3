/**
 * Checks of real training steps: a configuration at its full size, on the device and on another engine. The
 * conformance suite runs kernels at other sizes, but a kernel's text contains its sizes, and a
 * driver may compile one size wrong.
 */

import type { Backend, Numbers } from "../backends/backend.ts";
import { openBackend } from "../backends/open.ts";
import type { ModelConfig } from "../config/model.ts";
import type { TrainConfig } from "../config/train.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { LayoutEntry } from "../graph/layout.ts";
import { internalsOf } from "../model/internals.ts";
import { Model } from "../model/model.ts";
import { flopsPerToken } from "../model/parameters.ts";
import { parameterLayout } from "../model/plans.ts";
import { Dataset } from "../text/dataset.ts";
import { METRIC_SLOTS, METRIC_WIDTH } from "../train/optimizer.ts";
import { TrainStep } from "../train/step.ts";
import { randomIds } from "./variants.ts";
import { type CheckGroup, type Finding, verdict } from "./verdict.ts";

/** A training to check. */
export interface StepsSubject {
  /** Configuration of a new model, or a checkpoint whose weights the steps start from. */
  readonly model: ModelConfig | Checkpoint;
  /** Configuration of the training. */
  readonly train: TrainConfig;
  /** Text of the steps; random tokens by default. */
  readonly dataset?: Dataset | undefined;
}

/** State of a training after some steps. */
export interface StepsTrace {
  /** Loss of each step, in nats per token. */
  readonly losses: readonly number[];
  /** Gradient norm of each step, before clipping. */
  readonly gradNorms: readonly number[];
  /** Parameters after the steps, as a flat store. */
  readonly weights: Numbers;
  /** First moments after the steps, as a flat store. */
  readonly m: Numbers;
  /** Second moments after the steps, as a flat store; absent for optimizers without. */
  readonly v: Numbers | undefined;
}

/**
 * Largest relative differences of two engines after one step and after ten, by the precision of the first; the second computes
 * in float32 or float64. The losses and norms of one step differ by
 * rounding alone. Further steps amplify the difference of the weights: AdamW and Muon scale updates to a fixed
 * size, so the rounding errors of small gradients grow. Each tolerance is more than ten (f16: five) times the largest
 * difference measured on the presets (docs/check.md); a wrong term changes an update by a tenth or more.
 */
const tolerances = {
  f32: {
    1: { loss: 5e-6, gradNorm: 2e-5, update: 1e-3 },
    10: { loss: 1e-4, gradNorm: 1e-3, update: 1e-2 },
  },
  f16: {
    1: { loss: 5e-4, gradNorm: 5e-3, update: 2e-2 },
    10: { loss: 2e-3, gradNorm: 2e-2, update: 5e-2 },
  },
} as const;

/** Numbers of steps that are compared. */
type Steps = 1 | 10;

/** Largest error of rounding a number to 32 bits, relative to it. */
const ROUNDING = 2 ** -23;

/**
 * Largest norm of a tensor's gradient, relative to that of all gradients, that may be rounding alone. With one token in the
 * context, the gradient of a score is the difference of two equal dot products over a head, whose rounding is about
 * √64 · 2^-23 of them for 64 dimensions. Measured: at most 2e-9, and at least 9e-5 for gradients that are not 0 (new models).
 */
const NOISE = 2 ** -20;

/** Most floating-point operations that the float64 reference repeats: about a minute. */
const MOST_REFERENCE_FLOPS = 1e10;

/**
 * Returns the checks of one and ten training steps on a device against another engine: the CPU engine
 * with its own products, or float64 if the device is that engine itself.
 */
export function stepChecks(
  backend: Backend,
  subject: StepsSubject,
  { name, signal }: {
    /** Name of the training, e.g. the preset's. */
    readonly name: string;
    readonly signal?: AbortSignal | undefined;
  },
): CheckGroup {
  return {
    name: "training steps",
    meaning:
      `${name} at its full size, on this device and on another engine; differences relative to the values.`,
    async *run() {
      for (const steps of [1, 10] as const) {
        signal?.throwIfAborted();
        yield await verdict(
          steps === 1 ? "one step" : `${steps} steps`,
          () => compareOn(backend, subject, { steps, signal }),
        );
      }
    },
  };
}

/** Trains on the device and on another engine, and compares. */
async function compareOn(
  backend: Backend,
  subject: StepsSubject,
  { steps, signal }: {
    readonly steps: Steps;
    readonly signal: AbortSignal | undefined;
  },
): Promise<Finding> {
  const isPlain = backend.kind === "wasm" && backend.blas === undefined;
  const { B, T, config } = sizesOf(subject);
  const flops = steps * subject.train.gradAccumulation * B * T *
    flopsPerToken(config, parameterLayout(config));
  if (isPlain && flops > MOST_REFERENCE_FLOPS) {
    return {
      status: "skipped",
      found: "float64 would take minutes to repeat the CPU engine's own steps",
    };
  }
  if (backend.kind === "wasm" && subject.train.precision === "f16") {
    return { status: "skipped", found: "the CPU engine has no float16" };
  }
  const device = isPlain ? "reference" : "wasm";
  await using other = await openBackend(
    device,
    device === "wasm" ? { blas: "off" } : {},
  );
  return await compareSteps(backend, other, subject, { steps, signal });
}

/** Takes the first steps of a training on two devices, and compares. The other device stores no float16. */
export async function compareSteps(
  backend: Backend,
  other: Backend,
  subject: StepsSubject,
  { steps = 1, signal }: {
    readonly steps?: Steps;
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<Finding> {
  const options = { steps, signal };
  const { precision } = subject.train;
  const plain = {
    ...subject,
    train: { ...subject.train, precision: "f32" },
  } as const;
  return compareTraces(parameterLayout(sizesOf(subject).config).entries, {
    actual: await takeSteps(backend, subject, options),
    expected: await takeSteps(other, plain, options),
    ...{ start: await startOf(subject), steps },
    limits: tolerances[precision][steps],
    where: other.kind === "wasm" ? "the CPU engine" : "float64",
  });
}

/** Returns the architecture and the batch shape of a training. */
function sizesOf({ model, train, dataset }: StepsSubject) {
  const config = "tensors" in model ? model.config : model;
  const B = dataset?.batchSize ?? train.batchSize;
  const T = dataset?.blockSize ?? config.blockSize;
  return { config, B, T };
}

function makeModel({ model }: StepsSubject, backend: Backend): Promise<Model> {
  return "tensors" in model
    ? Model.load(model, { backend })
    : Model.create(model, { backend });
}

/** Returns the parameters before the first step, as a flat store. */
async function startOf(subject: StepsSubject): Promise<Numbers> {
  await using backend = await openBackend("wasm", { threads: 1, blas: "off" });
  await using model = await makeModel(subject, backend);
  return await internalsOf(model).stores.get("params")!.read();
}

/** Takes the first training steps on a device. */
async function takeSteps(
  backend: Backend,
  subject: StepsSubject,
  { steps, signal }: {
    readonly steps: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<StepsTrace> {
  const { config: { vocabSize }, B, T } = sizesOf(subject);
  const { train, dataset } = subject;
  await using model = await makeModel(subject, backend);
  const text = dataset ??
    new Dataset(randomIds(20 * B * T + 1, { vocabSize }), {
      ...{ blockSize: T, batchSize: B },
    });
  const trainStep = new TrainStep(model, text, train);
  await trainStep.prepare();
  const { stores } = internalsOf(model);
  stores.get("loss")!.write([0]);
  const isOver = () => signal?.aborted === true;
  for (let step = 0; step < steps; step++) {
    await trainStep.take(step, { isOver, lastMs: 0 });
    signal?.throwIfAborted();
  }
  const metrics = await stores.get("metrics")!.read();
  const column = (at: number) =>
    Array.from(
      { length: steps },
      (_, step) => metrics[step % METRIC_SLOTS * METRIC_WIDTH + at]!,
    );
  return {
    losses: column(0),
    gradNorms: column(1),
    weights: await stores.get("params")!.read(),
    m: await stores.get("m")!.read(),
    v: await stores.get("v")?.read(),
  };
}

/** Compares the training of two engines: losses, gradient norms, and the change of every tensor. */
function compareTraces(
  entries: readonly LayoutEntry[],
  { actual, expected, start, steps, limits, where }: {
    readonly actual: StepsTrace;
    readonly expected: StepsTrace;
    readonly start: Numbers;
    readonly steps: Steps;
    readonly limits: typeof tolerances[TrainConfig["precision"]][Steps];
    /** Name of the other engine. */
    readonly where: string;
  },
): Finding {
  const worstOf = (a: readonly number[], b: readonly number[]) =>
    Math.max(...a.map((x, i) => relative(x, b[i]!)));
  const loss = worstOf(actual.losses, expected.losses);
  const gradNorm = worstOf(actual.gradNorms, expected.gradNorms);
  let update = 0;
  let tensor = "";
  const isNoise = noiseOf([actual, expected]);
  const largest = (expected.weights as Float32Array).reduce(
    (most, value, i) => Math.max(most, Math.abs(value - start[i]!)),
    0,
  );
  for (const entry of entries) {
    const error = isNoise(entry)
      ? noiseError(entry, { actual, start, largest })
      : updateError(entry, { actual, expected, start, steps });
    // NaN is the worst error, and stays.
    if (Number.isNaN(update) || error <= update) continue;
    [update, tensor] = [error, entry.name];
  }
  const numbers = { loss, gradNorm, update };
  const text = (error: number) => error.toExponential(1);
  const wrong = loss <= limits.loss
    ? gradNorm <= limits.gradNorm
      ? update <= limits.update
        ? undefined
        : update === Infinity
        ? `${tensor} changed where its gradient is 0`
        : `the change of ${tensor} differs by ${text(update)} of its size`
      : `a gradient norm differs by ${text(gradNorm)}`
    : `a loss differs by ${text(loss)}`;
  return wrong === undefined
    ? {
      status: "ok",
      found: `like ${where}: loss within ${text(loss)}, gradient norm ${
        text(gradNorm)
      }, changes of tensors ${text(update)}`,
      numbers,
    }
    : {
      status: "failed",
      found: `unlike ${where}: ${wrong}`,
      hint:
        "this device computes these shapes wrong: do not train on it; try another --device",
      numbers,
    };
}

function relative(actual: number, expected: number): number {
  return actual === expected
    ? 0
    : Math.abs(actual - expected) / Math.abs(expected);
}

/** Returns a test for tensors whose gradient is rounding noise on every engine, but not exactly 0 on all of them. */
function noiseOf(
  traces: readonly StepsTrace[],
): (entry: LayoutEntry) => boolean {
  const norm = (x: Numbers) =>
    Math.sqrt((x as Float32Array).reduce((sum, value) => sum + value ** 2, 0));
  const wholes = traces.map(({ m }) => norm(m));
  return ({ offset, length }) => {
    const norms = traces.map(({ m }) =>
      norm(m.subarray(offset, offset + length))
    );
    return norms.some((part) => part > 0) &&
      norms.every((part, i) => part <= NOISE * wholes[i]!);
  };
}

/**
 * Returns 0 for a tensor of noise whose elements changed by no more than other tensors' do, otherwise Infinity. AdamW makes an update
 * of up to full size from noise.
 */
function noiseError(
  { offset, length }: LayoutEntry,
  { actual, start, largest }: {
    readonly actual: StepsTrace;
    readonly start: Numbers;
    /** Largest change of an element on the other engine. */
    readonly largest: number;
  },
): number {
  for (let i = offset; i < offset + length; i++) {
    const change = Math.abs(actual.weights[i]! - start[i]!);
    if (!(change <= 2 * largest)) return Infinity;
  }
  return 0;
}

/**
 * Returns the difference of a tensor's changes, relative to the change. Elements are weighted by the root of their
 * second moment where the optimizer has one: AdamW gives an element whose gradient is only rounding noise (the bias of keys)
 * an update of full size and random sign. An element whose gradient was always 0 has weight 0 and must have the same
 * value, otherwise the result is Infinity. The rounding of a value to 32 bits, once a step, does not count: updates of SGD may be smaller.
 */
function updateError(
  { offset, length }: LayoutEntry,
  { actual, expected, start, steps }: {
    readonly actual: StepsTrace;
    readonly expected: StepsTrace;
    readonly start: Numbers;
    readonly steps: number;
  },
): number {
  const { v } = expected;
  const isWeighted = v?.subarray(offset, offset + length).some((x) => x > 0);
  let [difference, change] = [0, 0];
  for (let i = offset; i < offset + length; i++) {
    const value = expected.weights[i]!;
    const distance = Math.abs(actual.weights[i]! - value);
    const error = Math.max(0, distance - steps * ROUNDING * Math.abs(value));
    const weight = isWeighted ? v![i]! : 1;
    if (weight === 0 && !(error <= 1e-6)) return Infinity;
    difference += weight * error ** 2;
    change += weight * (value - start[i]!) ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / change);
}
