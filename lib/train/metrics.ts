/**
 * Reads losses and gradient norms from the device without making it wait: the metrics
 * of several steps are read at a time while later steps run.
 */

import type { Program } from "../backends/backend.ts";
import type { TrainConfig } from "../config/train.ts";
import type { Refusal } from "../refusal.ts";
import type { StepEvent } from "./events.ts";
import { yieldIfDue } from "../model/parts.ts";
import { learningRateAt, METRIC_SLOTS, METRIC_WIDTH } from "./optimizer.ts";

/**
 * Error thrown if the loss or the gradient of a step is not finite. The parameters
 * are those before the step, since the update is not applied.
 */
export class NonFiniteError extends Error implements Refusal {
  /** Name of the class. */
  override readonly name = "NonFiniteError";
  /** The action that failed. */
  readonly action = "go on training";
  /** Why not: the step, its loss and its gradient norm. */
  readonly reason: string;
  /** Undefined: no advice holds in general. */
  readonly hint: string | undefined = undefined;
  /** Configuration fields that the reason names: none. */
  readonly fields: readonly string[] = [];
  /** Number of the failed step, from 1. */
  readonly step: number;
  /** Mean loss of the step in nats per token. */
  readonly loss: number;
  /** Gradient norm of the step before clipping. */
  readonly gradNorm: number;

  /**
   * Creates the error.
   *
   * @param step number of the failed step, from 1
   * @param loss mean loss of the step in nats per token
   * @param gradNorm gradient norm of the step before clipping
   * @param first description of the first value that was not finite, if known
   */
  constructor(step: number, loss: number, gradNorm: number, first?: string) {
    const origin = first === undefined
      ? ""
      : `; the first not to be finite was ${first}`;
    const reason =
      `at step ${step} the loss is ${loss} and the gradient norm ${gradNorm}${origin}`;
    super(`Cannot go on training: ${reason}`);
    this.reason = reason;
    this.step = step;
    this.loss = loss;
    this.gradNorm = gradNorm;
  }
}

/** Most steps queued ahead of the host; fewer if steps are slow. */
const MOST_IN_FLIGHT = METRIC_SLOTS / 2;
/** Most work queued ahead of the host, in milliseconds. A read takes about 10 ms in Deno, which polls its device. */
const AHEAD_MS = 100;

/** Reads the metrics of steps while later steps run, and limits how far the device runs ahead. */
export class MetricsReader {
  readonly #program: Program;
  readonly #config: TrainConfig;
  readonly #tokensPerStep: number;
  #submitted: number;
  #read: number;
  #reading: Promise<void> | undefined;
  #arrived: StepEvent[] = [];
  /** Reason of a failed read. It is kept for the next caller, since no one may be awaiting the read. */
  #failure: { readonly reason: unknown } | undefined;
  #limit = 1;
  #msPerStep = 0;
  #clock = performance.now();

  constructor(program: Program, config: TrainConfig, step: number) {
    this.#program = program;
    this.#config = config;
    const tokens = program.buffer("tokens").spec.length;
    this.#tokensPerStep = tokens * config.gradAccumulation;
    this.#submitted = step;
    this.#read = step;
  }

  /** Milliseconds per step, over the steps whose metrics were last read together; 0 before the first read. */
  get msPerStep(): number {
    return this.#msPerStep;
  }

  /** Estimated milliseconds until all submitted steps and one further step are done. */
  get msToNextStep(): number {
    return (this.#submitted - this.#read + 1) * this.#msPerStep;
  }

  /** Records a submitted step, waits if the device is too far ahead, and returns the events that have arrived. */
  async submitted(): Promise<StepEvent[]> {
    this.#submitted++;
    if (!this.#failure) this.#reading ??= this.#fetch();
    while (!this.#failure && this.#submitted - this.#read >= this.#limit) {
      this.#reading ??= this.#fetch();
      await this.#reading;
    }
    await yieldIfDue();
    return this.#take();
  }

  /** Waits for the metrics of all submitted steps, and returns their events. */
  async drain(): Promise<StepEvent[]> {
    while (!this.#failure && this.#read < this.#submitted) {
      this.#reading ??= this.#fetch();
      await this.#reading;
    }
    return this.#take();
  }

  /** Restarts the clock after a pause. */
  resume(): void {
    this.#clock = performance.now();
  }

  /** Throws the reason of a failed read. Call it after taking the events that arrived before the failure. */
  throwIfFailed(): void {
    if (this.#failure) throw this.#failure.reason;
  }

  #take(): StepEvent[] {
    const arrived = this.#arrived;
    this.#arrived = [];
    return arrived;
  }

  async #fetch(): Promise<void> {
    const from = this.#read;
    const to = this.#submitted;
    try {
      const metrics = await this.#program.buffer("metrics").read();
      const now = performance.now();
      const msPerStep = (now - this.#clock) / (to - from);
      this.#clock = now;
      this.#msPerStep = msPerStep;
      this.#limit = Math.min(
        MOST_IN_FLIGHT,
        Math.max(2, Math.round(AHEAD_MS / msPerStep)),
      );
      this.#read = to;
      for (let step = from; step < to; step++) {
        const row = (step % METRIC_SLOTS) * METRIC_WIDTH;
        const loss = metrics[row]!;
        const gradNorm = metrics[row + 1]!;
        const finite = metrics[row + 2]!;
        if (finite === 0) throw new NonFiniteError(step + 1, loss, gradNorm);
        this.#arrived.push({
          kind: "step",
          step: step + 1,
          loss,
          gradNorm,
          learningRate: learningRateAt(this.#config, step),
          tokensPerSecond: 1000 * this.#tokensPerStep / msPerStep,
        });
      }
    } catch (reason) {
      this.#failure ??= { reason };
    } finally {
      this.#reading = undefined;
    }
  }
}
