/**
 * Checks of the gradient of a model's training loss: automatic differentiation against central
 * differences in float64, and the gradient of a device against automatic differentiation in float64.
 *
 * (L(p + h) - L(p - h)) / 2h has a truncation error h²/6 · L‴ and a rounding error of about 1e-16 · L / h.
 * With h = 1e-5 both are about 1e-9 to 1e-8 here; gradients, and errors from mistakes, are of order 0.01 to 1.
 */

import type { Backend, Numbers, Program } from "../backends/backend.ts";
import { openReference } from "../backends/reference.ts";
import type { ModelConfig } from "../config/model.ts";
import { trainConfig } from "../config/train.ts";
import type { LayoutEntry } from "../graph/layout.ts";
import type { Plan } from "../graph/plan.ts";
import { Model } from "../model/model.ts";
import { trainPlan } from "../train/plan.ts";
import { makeGeneric, randomIds, variant } from "./variants.ts";
import { type CheckGroup, type Verdict, verdict } from "./verdict.ts";
import { internalsOf } from "../model/internals.ts";

const STEP = 1e-5;
/** Shape of the batch. */
const B = 2;
const T = 5;

/** Largest difference of a gradient and the central difference: absolute up to 1, relative above. */
const DIFFERENCE_TOLERANCE = 1e-7;

/**
 * Largest difference of gradients in 32 and 64 bits, relative to the largest gradient of the tensor or to a hundredth
 * of the largest of all tensors. (Some gradients are 0 except for rounding, e.g. of the bias of keys.) About a hundred
 * roundings of 2^-24 separate a parameter and its gradient, and terms of different signs cancel to a tenth. 1e-4 is
 * above the resulting error, and orders of magnitude below the effect of a wrong term.
 */
const DEVICE_TOLERANCE = 1e-4;

/** A model with the program and data to compute its training loss over several micro-batches. */
export class TrainingLoss implements AsyncDisposable {
  readonly model: Model;
  readonly #program: Program;
  readonly #microBatches: number;

  private constructor(model: Model, program: Program, microBatches: number) {
    this.model = model;
    this.#program = program;
    this.#microBatches = microBatches;
  }

  /** Creates a model whose parameters all affect the loss, and compiles its training plan. */
  static async prepare(
    config: ModelConfig,
    { backend, gradAccumulation = 1 }: {
      readonly backend: Backend;
      readonly gradAccumulation?: number;
    },
  ): Promise<TrainingLoss> {
    const model = await Model.create(config, { backend });
    await makeGeneric(model);
    const training = trainConfig({ gradAccumulation });
    const plan = withLossPhase(trainPlan(config, training, { B, T }));
    const program = await internalsOf(model).compile(plan);
    return new TrainingLoss(model, program, gradAccumulation);
  }

  /** Runs a phase on every micro-batch, each with its own dropout masks, and returns the total loss. */
  async run(phase: "loss" | "gradient"): Promise<number> {
    const { vocabSize } = this.model.config;
    this.#program.buffer("loss").write([0]);
    for (let micro = 0; micro < this.#microBatches; micro++) {
      const ids = (seed: number) => randomIds(B * T, { vocabSize, seed });
      this.#program.buffer("tokens").write(ids(2 * micro));
      this.#program.buffer("targets").write(ids(2 * micro + 1));
      this.#program.buffer("key").write([5, micro, 0, 0]);
      this.#program.run([phase]);
    }
    return (await this.#program.buffer("loss").read())[0]!;
  }

  /** Returns the gradient that the plan computes, in the layout of the flat store. */
  async gradient(): Promise<Numbers> {
    const grads = this.#program.buffer("grads");
    grads.write(new Float32Array(grads.spec.length)); // the plan adds to what is there
    await this.run("gradient");
    return await grads.read();
  }

  /** Returns the central difference with respect to element `index` of the flat store. */
  async difference(index: number): Promise<number> {
    const params = this.#program.buffer("params");
    const value = (await params.read(index, 1))[0]!;
    const lossAt = (moved: number) => {
      params.write([moved], index);
      return this.run("loss");
    };
    const [above, below] = [
      await lossAt(value + STEP),
      await lossAt(value - STEP),
    ];
    params.write([value], index);
    return (above - below) / (2 * STEP);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.model[Symbol.asyncDispose]();
  }
}

/** Adds a phase `loss` to a training plan: the forward dispatches and the sum of the loss, without the gradient. */
function withLossPhase(plan: Plan): Plan {
  const [from] = plan.phases["gradient"]!;
  const last = plan.dispatches.findIndex(({ kernel }) => kernel === "lossSum");
  return { ...plan, phases: { ...plan.phases, loss: [from, last + 1] } };
}

/** Element of a gradient with the largest error, relative to its tolerance. */
export interface Worst {
  readonly worst: number;
  /** Description of the element, with both values. */
  readonly at: string;
}

/** Compares the gradient of every parameter element with the central difference, on the reference backend. */
export async function compareWithDifferences(
  trainingLoss: TrainingLoss,
): Promise<Worst> {
  const gradient = await trainingLoss.gradient();
  let result: Worst = { worst: 0, at: "" };
  for (
    const { name, offset, length } of internalsOf(trainingLoss.model).layout
      .entries
  ) {
    for (let i = offset; i < offset + length; i++) {
      const expected = await trainingLoss.difference(i);
      const tolerance = DIFFERENCE_TOLERANCE * Math.max(1, Math.abs(expected));
      const worst = Math.abs(gradient[i]! - expected) / tolerance;
      if (worst > result.worst || Number.isNaN(worst)) {
        const at = `${name}[${i - offset}]: ${
          gradient[i]
        }, by differences ${expected}`;
        result = { worst, at };
      }
    }
  }
  return result;
}

/** Architectures to check; together they cover most options of a model. */
const architectures = ["nanoGPT", "Llama", "modern", "all at once"];

/** Returns two checks for each of several architectures. */
export function gradientChecks(backend: Backend): CheckGroup {
  return {
    name: "gradients",
    meaning:
      "of whole models: float64 against finite differences, then this device against float64; errors as a share of the tolerance.",
    run: () => checkGradients(backend),
  };
}

async function* checkGradients(backend: Backend): AsyncGenerator<Verdict> {
  for (const name of architectures) {
    yield await verdict(name, async () => {
      const config = { ...variant(name).config, nLayer: 1 };
      await using reference = openReference();
      await using exact = await TrainingLoss.prepare(config, {
        backend: reference,
      });
      await using trainingLoss = await TrainingLoss.prepare(config, {
        backend,
      });
      const differences = await compareWithDifferences(exact);
      const device = compareGradients(
        internalsOf(trainingLoss.model).layout.entries,
        {
          actual: await trainingLoss.gradient(),
          expected: await exact.gradient(),
        },
      );
      const numbers = {
        differences: differences.worst,
        device: device.worst,
        parameters: trainingLoss.model.parameterCount,
      };
      if (!(differences.worst <= 1)) {
        return {
          status: "failed",
          found: `in float64: ${differences.at}`,
          hint:
            "a derivative rule is wrong, on every device: report it, with this line",
          numbers,
        };
      }
      if (!(device.worst <= 1)) {
        return {
          status: "failed",
          found: `on this device: ${device.at}`,
          hint:
            "this device computes gradients wrong: do not train on it; try another --device",
          numbers,
        };
      }
      return {
        status: "ok",
        found: `differences ${differences.worst.toFixed(2)}, device ${
          device.worst.toFixed(2)
        }, of ${numbers.parameters} parameters`,
        numbers,
      };
    });
  }
}

/** Returns the element of a device's gradient with the largest error. */
function compareGradients(
  entries: readonly LayoutEntry[],
  { actual, expected }: {
    readonly actual: Numbers;
    readonly expected: Numbers;
  },
): Worst {
  let result: Worst = { worst: 0, at: "" };
  const least = (expected as Float64Array).reduce(
    (most, d) => Math.max(most, Math.abs(d)),
    0,
  ) / 100;
  for (const { name, offset, length } of entries) {
    let largest = least;
    for (let i = offset; i < offset + length; i++) {
      largest = Math.max(largest, Math.abs(expected[i]!));
    }
    for (let i = offset; i < offset + length; i++) {
      const error = Math.abs(actual[i]! - expected[i]!);
      const worst = error / (DEVICE_TOLERANCE * largest);
      if (worst > result.worst || Number.isNaN(worst)) {
        const at = `${name}[${i - offset}]: ${actual[i]}, in float64 ${
          expected[i]
        }`;
        result = { worst, at };
      }
    }
  }
  return result;
}
