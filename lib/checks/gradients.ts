/**
 * The gradient of a whole model's training loss: automatic differentiation against central
 * differences in float64, and a device's gradient against that.
 *
 * (L(p + h) - L(p - h)) / 2h is off by h²/6 · L‴ and by rounding, about 1e-16 · L / h. With
 * h = 1e-5 both are about 1e-9 to 1e-8 here; gradients are of order 0.01 to 1, and mistakes too.
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
/** The batch. */
const B = 2;
const T = 5;

/** How far a gradient may be from the central difference, where both are at most 1; relatively, where they are larger. */
export const DIFFERENCE_TOLERANCE = 1e-7;

/**
 * How far a gradient in 32 bits may be from that in 64, relative to the largest of its tensor, or to a
 * hundredth of the largest of all: some tensors' gradients are 0 but for rounding, as a key's bias. Some hundred roundings of 2^-24 lie between a parameter and its gradient, and terms of different
 * signs cancel to a tenth: 1e-4 is above both, and below what a wrong term does by orders.
 */
const DEVICE_TOLERANCE = 1e-4;

/** A model and what it takes to compute its loss over some micro-batches. */
export class Lesson implements AsyncDisposable {
  readonly model: Model;
  readonly #program: Program;
  readonly #microBatches: number;

  private constructor(model: Model, program: Program, microBatches: number) {
    this.model = model;
    this.#program = program;
    this.#microBatches = microBatches;
  }

  /** Makes the model, all of whose parameters matter, and compiles its train plan. */
  static async prepare(
    config: ModelConfig,
    { backend, gradAccumulation = 1 }: {
      readonly backend: Backend;
      readonly gradAccumulation?: number;
    },
  ): Promise<Lesson> {
    const model = await Model.create(config, { backend });
    await makeGeneric(model);
    const training = trainConfig({ gradAccumulation });
    const plan = withLossPhase(trainPlan(config, training, { B, T }));
    const program = await internalsOf(model).compile(plan);
    return new Lesson(model, program, gradAccumulation);
  }

  /** Runs a phase on every micro-batch, each with its own dropout masks; gives the loss of all together. */
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

  /** The gradient as the plan computes it: the flat store. */
  async gradient(): Promise<Numbers> {
    const grads = this.#program.buffer("grads");
    grads.write(new Float32Array(grads.spec.length)); // the plan adds to what is there
    await this.run("gradient");
    return await grads.read();
  }

  /** The central difference by element `index` of the flat store. */
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

/** A train plan with a phase `loss` that stops before the gradient: the forward dispatches and the loss's sum. */
function withLossPhase(plan: Plan): Plan {
  const [from] = plan.phases["gradient"]!;
  const last = plan.dispatches.findIndex(({ kernel }) => kernel === "lossSum");
  return { ...plan, phases: { ...plan.phases, loss: [from, last + 1] } };
}

/** The element of a gradient that is the furthest off, and by what share of its tolerance. */
export interface Worst {
  readonly worst: number;
  /** The element, with both values. */
  readonly at: string;
}

/** Compares every element of every parameter's gradient with central differences; on the reference. */
export async function compareWithDifferences(lesson: Lesson): Promise<Worst> {
  const gradient = await lesson.gradient();
  let result: Worst = { worst: 0, at: "" };
  for (
    const { name, offset, length } of internalsOf(lesson.model).layout.entries
  ) {
    for (let i = offset; i < offset + length; i++) {
      const expected = await lesson.difference(i);
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

/** The architectures that the doctor tries: together they have most of what a model can be. */
const architectures = ["nanoGPT", "Llama", "modern", "all at once"];

/** Two verdicts for each of a few architectures. */
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
      await using exact = await Lesson.prepare(config, { backend: reference });
      await using lesson = await Lesson.prepare(config, { backend });
      const differences = await compareWithDifferences(exact);
      const device = compareGradients(
        internalsOf(lesson.model).layout.entries,
        {
          actual: await lesson.gradient(),
          expected: await exact.gradient(),
        },
      );
      const numbers = {
        differences: differences.worst,
        device: device.worst,
        parameters: lesson.model.parameterCount,
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

/** The furthest element of a device's gradient. */
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
