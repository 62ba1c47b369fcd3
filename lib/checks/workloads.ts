/** Work to measure a device by: a matrix product, and training steps of a preset. */

import { plainProduct } from "../../kernels/vocabulary.ts";
import type { Backend, Program } from "../backends/backend.ts";
import { type ModelConfig, modelConfig } from "../config/model.ts";
import { type PresetName, presets } from "../config/presets.ts";
import { type TrainConfig, trainConfig } from "../config/train.ts";
import type { Plan } from "../graph/plan.ts";
import { internalsOf } from "../model/internals.ts";
import { Model } from "../model/model.ts";
import { METRIC_SLOTS, scheduleAt } from "../train/optimizer.ts";
import { stepPlan } from "../train/step.ts";
import { randomIds } from "./variants.ts";

/** Plans a product y (M, N) of the inputs `a` and `b`; `form` tells which of them is stored transposed. */
export function productPlan(
  { form, M, N, K }: {
    readonly form: "nn" | "nt" | "tn";
    readonly M: number;
    readonly N: number;
    readonly K: number;
  },
): Plan {
  const lengths = { y: M * N, a: M * K, b: K * N };
  const [y, ...inputs] = Object.values(lengths)
    .map((length, buffer) => ({ buffer, offset: 0, length }));
  return {
    name: "product",
    buffers: Object.entries(lengths).map(([name, length]) => ({
      name,
      kind: name === "y" ? "output" : "input",
      dtype: "f32",
      length,
    })),
    dispatches: [{
      kernel: "matmul",
      dims: { ...plainProduct, form, M, N, K },
      outputs: [y!],
      inputs,
      label: "product",
    }],
    phases: {},
  };
}

/** Configurations of a training. */
export interface Training {
  /** Architecture of the model. */
  readonly model: ModelConfig;
  /** Configuration of the training. */
  readonly train: TrainConfig;
}

/** Returns the configurations of a preset; a preset of characters has the 65 of tiny Shakespeare. */
export function presetTraining(name: PresetName): Training {
  const { tokenizer, model, train } = presets[name];
  const vocabSize = { ascii: 128, chars: 65, bytes: 256 }[tokenizer];
  return {
    model: modelConfig({ ...model, vocabSize }),
    train: trainConfig(train),
  };
}

/** Training steps on random tokens. Dispose of it after use. */
export class RandomSteps implements AsyncDisposable {
  readonly model: Model;
  readonly plan: Plan;
  /** Tokens of a batch. */
  readonly tokens: number;
  readonly #train: TrainConfig;
  #step = 0;

  private constructor(model: Model, train: TrainConfig, rows: number) {
    const shape = { B: rows, T: model.config.blockSize };
    this.model = model;
    this.plan = stepPlan(model.config, train, shape);
    this.tokens = shape.B * shape.T;
    this.#train = train;
  }

  /** Makes the model of a training, whose batches have the given rows; those of the configuration by default. */
  static async open(
    backend: Backend,
    { model: config, train }: Training,
    rows: number = train.batchSize,
  ): Promise<RandomSteps> {
    const model = await Model.create(config, { backend });
    return new RandomSteps(model, train, rows);
  }

  /** Compiles the plan. */
  compile(): Promise<Program> {
    return internalsOf(this.model).compile(this.plan);
  }

  /** Returns a batch of random ids, different for each seed. */
  ids(seed: number): Int32Array {
    const { vocabSize } = this.model.config;
    return randomIds(this.tokens, { vocabSize, seed });
  }

  /** Writes a batch of random tokens and targets. */
  fill(program: Program): void {
    program.buffer("tokens").write(this.ids(1));
    program.buffer("targets").write(this.ids(2));
  }

  /** Writes the inputs of the next step but for its tokens; returns the step's number. */
  begin(program: Program): number {
    const step = this.#step++;
    program.buffer("key").write([1, step, step % METRIC_SLOTS, 0]);
    program.buffer("schedule").write(scheduleAt(this.#train, step));
    return step;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.model[Symbol.asyncDispose]();
  }
}
