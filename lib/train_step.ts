/** One optimizer step: what it reads, and how it is queued. */

import type { Program } from "./backends/backend.ts";
import type { TrainConfig } from "./config.ts";
import type { Dataset } from "./dataset.ts";
import type { Inputs } from "./diagnosis.ts";
import type { Model } from "./language_model.ts";
import { breath } from "./metrics.ts";
import { METRIC_SLOTS, momentsOf, scheduleAt } from "./optimizer.ts";
import { cutPlan, PartRunner } from "./parts.ts";
import { trainPlan } from "./plans.ts";
import { checkBatchShape } from "./trainer_extras.ts";
import { internalsOf } from "./model_internals.ts";

/** A compiled training step of a model. */
export class TrainStep {
  readonly #runner: PartRunner;
  readonly #model: Model;
  readonly #dataset: Dataset;
  readonly #config: TrainConfig;

  private constructor(
    runner: PartRunner,
    { model, dataset, config }: {
      readonly model: Model;
      readonly dataset: Dataset;
      readonly config: TrainConfig;
    },
  ) {
    this.#runner = runner;
    this.#model = model;
    this.#dataset = dataset;
    this.#config = config;
  }

  /** Compiles the step; gradients and moments exist from here on, and are zeros. */
  static async compile(
    model: Model,
    dataset: Dataset,
    config: TrainConfig,
  ): Promise<TrainStep> {
    const { batchSize: B, blockSize: T } = dataset;
    const whole = trainPlan(model.config, config, { B, T });
    const plan = cutPlan(whole, "gradient", B * T * model.flopsPerToken);
    const internals = internalsOf(model);
    const { layout, stores } = internals;
    const hadTrainer = stores.has("m");
    const program = await internals.compile(plan);
    if (hadTrainer) {
      // The moments are those of another training, and belong to its steps.
      const zeros = new Float32Array(layout.length);
      for (const name of ["grads", ...momentsOf(config)]) {
        stores.get(name)!.write(zeros);
      }
    }
    const runner = new PartRunner(program, model.backend, "gradient");
    return new TrainStep(runner, { model, dataset, config });
  }

  /** The plan on the device. */
  get program(): Program {
    return this.#runner.program;
  }

  /** Yields what the runs of a step read: one micro-batch after the other. */
  *inputs(step: number): Generator<Inputs> {
    const { gradAccumulation, seed } = this.#config;
    for (let micro = 0; micro < gradAccumulation; micro++) {
      const counter = step * gradAccumulation + micro;
      const key = [seed, counter, step % METRIC_SLOTS, 0];
      const { B, T, tokens, targets } = this.#dataset.batch(step, micro);
      checkBatchShape({ B, T }, this.#dataset);
      yield { tokens, targets, key };
    }
  }

  /**
   * Queues one step.
   *
   * @param options.isOver asked before the step changes any weight
   * @param options.lastMs milliseconds of the last step, 0 if there was none
   * @returns whether the step is taken; if it is over before, nothing of it stays
   */
  async take(step: number, { isOver, lastMs }: {
    readonly isOver: () => boolean;
    readonly lastMs: number;
  }): Promise<boolean> {
    const { program } = this;
    program.buffer("schedule").write(scheduleAt(this.#config, step));
    let left = this.#config.gradAccumulation;
    for (const inputs of this.inputs(step)) {
      for (const [name, values] of Object.entries(inputs)) {
        program.buffer(name).write(values);
      }
      const last = --left === 0;
      const after = last ? ["update"] : [];
      const isWhole = await this.#runner.run({ isOver, after, lastMs });
      if (!last) await breath();
      if (isWhole && (last || !isOver())) continue;
      const { stores, layout } = internalsOf(this.#model);
      stores.get("grads")!.write(new Float32Array(layout.length));
      return false;
    }
    return true;
  }
}
