/** One optimizer step: its plan, its inputs, and how it is queued. */

import type { Program } from "../backends/backend.ts";
import type { ModelConfig } from "../config/model.ts";
import type { TrainConfig } from "../config/train.ts";
import type { BatchShape, Dataset } from "../text/dataset.ts";
import type { Inputs } from "./diagnosis.ts";
import type { Model } from "../model/model.ts";
import { yieldToEvents } from "../model/parts.ts";
import type { Plan } from "../graph/plan.ts";
import { METRIC_SLOTS, momentsOf, scheduleAt } from "./optimizer.ts";
import { cutPlan, PartRunner } from "../model/parts.ts";
import { flopsPerToken } from "../model/parameters.ts";
import { trainPlan } from "./plan.ts";
import { parameterLayout } from "../model/plans.ts";
import { checkBatchShape } from "./extras.ts";
import { internalsOf } from "../model/internals.ts";

/** Returns the plan of a training step, split into parts if it is long. */
export function stepPlan(
  model: ModelConfig,
  train: TrainConfig,
  { B, T }: BatchShape,
): Plan {
  const flops = B * T * flopsPerToken(model, parameterLayout(model));
  return cutPlan(trainPlan(model, train, { B, T }), "gradient", flops);
}

/** The training step of a model, compiled on first use and again if the program was freed. */
export class TrainStep {
  readonly #model: Model;
  readonly #dataset: Dataset;
  readonly #config: TrainConfig;
  /** True if the stores contain the moments of this training. */
  #isBegun = false;

  /** Creates a training step; the plan is compiled on first use. */
  constructor(model: Model, dataset: Dataset, config: TrainConfig) {
    this.#model = model;
    this.#dataset = dataset;
    this.#config = config;
  }

  /** Plan of the step. */
  get plan(): Plan {
    const { batchSize: B, blockSize: T } = this.#dataset;
    return stepPlan(this.#model.config, this.#config, { B, T });
  }

  /** Ensures that gradients and moments exist; they start as zeros. */
  async prepare(): Promise<void> {
    if (!this.#isBegun) await this.use(() => {});
  }

  /** Runs `work` with the compiled step. */
  use<Value>(
    work: (runner: PartRunner) => Value | Promise<Value>,
  ): Promise<Value> {
    const { backend } = this.#model;
    return internalsOf(this.#model).trainings.use(
      this,
      () => this.#compile(),
      (program) => work(new PartRunner(program, backend, "gradient")),
    );
  }

  async #compile(): Promise<Program> {
    const internals = internalsOf(this.#model);
    const { layout, stores } = internals;
    const hadTrainer = stores.has("m");
    const program = await internals.bind(this.plan);
    if (hadTrainer && !this.#isBegun) {
      // The stores may contain moments of another training.
      const zeros = new Float32Array(layout.length);
      for (const name of ["grads", ...momentsOf(this.#config)]) {
        stores.get(name)!.write(zeros);
      }
    }
    this.#isBegun = true;
    return program;
  }

  /** Yields the inputs of a step, one micro-batch at a time. */
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
   * @param options.isOver called before the step changes any weight; true ends the step
   * @param options.lastMs milliseconds of the last step, 0 if there was none
   * @returns whether the whole step was queued; if false, the step has no effect
   */
  take(step: number, { isOver, lastMs }: {
    readonly isOver: () => boolean;
    readonly lastMs: number;
  }): Promise<boolean> {
    return this.use(async (runner) => {
      const { program } = runner;
      program.buffer("schedule").write(scheduleAt(this.#config, step));
      let left = this.#config.gradAccumulation;
      const microMs = lastMs / left;
      for (const inputs of this.inputs(step)) {
        for (const [name, values] of Object.entries(inputs)) {
          program.buffer(name).write(values);
        }
        const last = --left === 0;
        const after = last ? ["update"] : [];
        const isWhole = await runner.run({ isOver, after, lastMs: microMs });
        if (!last) await yieldToEvents();
        if (isWhole && (last || !isOver())) continue;
        const { stores, layout } = internalsOf(this.#model);
        stores.get("grads")!.write(new Float32Array(layout.length));
        return false;
      }
      return true;
    });
  }
}
