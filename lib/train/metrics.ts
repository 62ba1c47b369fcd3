/**
 * Losses and gradient norms on their way from the device to the host, without
 * making the device wait: they are read a few steps at a time while later steps run.
 */

import type { Program } from "../backends/backend.ts";
import type { TrainConfig } from "../config/train.ts";
import type { StepEvent } from "./events.ts";
import { yieldIfDue } from "../model/parts.ts";
import { learningRateAt, METRIC_SLOTS, METRIC_WIDTH } from "./optimizer.ts";

/**
 * The loss or the gradient stopped being a number. The parameters are those from
 * before the step: an update that is not finite is not applied.
 */
export class NonFiniteError extends Error {
  /** The name of the class. */
  override readonly name = "NonFiniteError";
  /** The step that went wrong, from 1. */
  readonly step: number;
  /** Its mean loss in nats per token. */
  readonly loss: number;
  /** Its gradient norm before clipping. */
  readonly gradNorm: number;

  /**
   * Makes the error.
   *
   * @param step the step that went wrong, from 1
   * @param loss its mean loss in nats per token
   * @param gradNorm its gradient norm before clipping
   * @param first what in the step was not finite first, in words, where that is known
   */
  constructor(step: number, loss: number, gradNorm: number, first?: string) {
    super(
      `Cannot go on training: at step ${step} the loss is ${loss} and the gradient norm ${gradNorm}${
        first === undefined ? "" : `; the first not to be finite was ${first}`
      }`,
    );
    this.step = step;
    this.loss = loss;
    this.gradNorm = gradNorm;
  }
}

/** Most steps that run ahead of the host; fewer where steps are slow. */
const MOST_IN_FLIGHT = METRIC_SLOTS / 2;
/** How far the device may run ahead, in milliseconds. A read takes about 10 on Deno, which polls its device. */
const AHEAD_MS = 100;

/** Fetches the metrics of steps while later ones run, and keeps the device from running too far ahead. */
export class MetricsReader {
  readonly #program: Program;
  readonly #config: TrainConfig;
  readonly #tokensPerStep: number;
  #submitted: number;
  #read: number;
  #reading: Promise<void> | undefined;
  #arrived: StepEvent[] = [];
  /** Why a read failed. Nobody may be waiting for that read, so whoever asks next is told. */
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

  /** Milliseconds of a step, over the steps whose metrics came together last; 0 before the first. */
  get msPerStep(): number {
    return this.#msPerStep;
  }

  /** Milliseconds until all submitted steps and one more should be done. */
  get msToNextStep(): number {
    return (this.#submitted - this.#read + 1) * this.#msPerStep;
  }

  /** Notes a submitted step; gives what has arrived, after waiting if too much is under way. */
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

  /** Waits for the metrics of every step. */
  async drain(): Promise<StepEvent[]> {
    while (!this.#failure && this.#read < this.#submitted) {
      this.#reading ??= this.#fetch();
      await this.#reading;
    }
    return this.#take();
  }

  /** Starts the clock again after a pause. */
  resume(): void {
    this.#clock = performance.now();
  }

  /** Throws what made a read fail, once all that arrived before it was taken. */
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
          event: "step",
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
