/**
 * Reports a training run: writes events to its directory and, with `--json`, to
 * standard output; progress and samples to people.
 */

import type {
  EndEvent,
  EvalEvent,
  StepEvent,
  TrainEvent,
} from "../../train/events.ts";
import { OutputClosedError } from "../command/errors.ts";
import type { RunDirectory } from "../run/directory.ts";
import { logged, type LoggedEvent } from "../run/events.ts";
import {
  checkpointEvent,
  lowestAfter,
  type LowestLoss,
  noHistory,
} from "../run/history.ts";
import {
  logText,
  type Progress,
  secondsLeft,
  statusText,
} from "../terminal/progress.ts";
import { count, duration } from "../../report/numbers.ts";
import { LossPlot } from "../terminal/loss_plot.ts";
import {
  canRedraw,
  forOutput,
  room,
  showsUnicode,
  type StatusLine,
  tinted,
  writeError,
  writeOutput,
} from "../terminal/terminal.ts";
import { deadlineOf } from "./run_options.ts";
import type { TrainingSetup } from "./training_setup.ts";

/** Seconds between lines if no status line can be drawn. */
const LOG_SECONDS = 10;

/** Returns the part of the validation split that an evaluation measured, to append to a line; empty if it measured all. */
function partText({ tokens, ofTokens }: EvalEvent): string {
  return tokens === ofTokens
    ? ""
    : ` (on ${count(tokens)} of ${count(ofTokens)} validation tokens)`;
}

/** Options of a {@linkcode TrainingReport}. */
export interface ReportOptions {
  readonly setup: TrainingSetup;
  readonly directory: RunDirectory;
  readonly status: StatusLine;
  /** True if events go to standard output, in place of samples. */
  readonly json: boolean;
  /** Gives the weights as they are, as the bytes of a checkpoint. */
  readonly weights: () => Promise<Uint8Array>;
  /** Called once, when standard output has been closed. */
  readonly onOutputClosed: () => void;
  /** Called when the validation loss ends the run: at `--target-loss`, or when `--patience` is over. */
  readonly onLossEndsRun: () => void;
}

/** Reports the events of one run, in order. */
export class TrainingReport {
  readonly #options: ReportOptions;
  readonly #begun = performance.now();
  readonly #stepsBefore: number;
  /** The first step of this run and the time of its event, in seconds; the time before it is start-up. */
  #firstStep: { readonly step: number; readonly at: number } | undefined;
  #progress: Progress;
  readonly #plot: LossPlot;
  readonly #ascii = !showsUnicode();
  #loggedAt = -Infinity;
  /** The lowest loss of evaluations that measured all their tokens, and its step, if it is of this process. */
  #lowest: LowestLoss | undefined;
  #lowestStep: number | undefined;
  /** `#hasBest`: `best.safetensors` exists. `#hasOtherBest`: it was chosen by evaluations of other tokens. */
  #hasBest: boolean;
  #hasOtherBest: boolean;
  #outputClosed = false;
  /** The reason why the run stops before its last step, in words. */
  #why: string | undefined;
  /** The flags, after a space, without which the validation loss would stop a resumed run again. */
  #withoutLimit: string | undefined;
  #ended: EndEvent["reason"] | undefined;
  #lastEval: EvalEvent | undefined;
  /** The time at which an evaluation and the work with it began, and the times of all, in seconds. */
  #evalBegan: number | undefined;
  #evals = { count: 0, seconds: 0 };

  constructor(options: ReportOptions) {
    const { train, measured, history = noHistory } = options.setup;
    this.#options = options;
    this.#stepsBefore = history.step;
    this.#progress = { step: history.step, maxSteps: train.maxSteps };
    this.#lowest = history.lowest.get(measured);
    this.#hasBest = history.lowest.size > 0;
    this.#hasOtherBest = this.#hasBest && this.#lowest === undefined;
    this.#plot = history.plot ?? new LossPlot();
  }

  /** True if standard output was closed during training. */
  get outputClosed(): boolean {
    return this.#outputClosed;
  }

  /** The flags, after a space, without which a resumed run would stop where it is; undefined if all steps were done. */
  get resumeFlags(): string | undefined {
    if (this.#ended === "done") return undefined;
    if (this.#withoutLimit !== undefined) return this.#withoutLimit;
    const isStuck = this.#ended === "stopped" &&
      this.#progress.step === this.#stepsBefore;
    return isStuck ? " --max-time off" : "";
  }

  /** Reports the start of the run. */
  async begin(event: LoggedEvent): Promise<void> {
    await this.#record(event);
    this.#draw("starting");
  }

  /** Reports an event. */
  async take(event: TrainEvent): Promise<void> {
    const { directory, status, setup } = this.#options;
    if (event.kind === "checkpoint") {
      const { step, bytes } = event;
      await directory.saveCheckpoint(bytes, step);
      const path = directory.checkpointPath;
      return await this.#record(checkpointEvent(step, path, bytes.length));
    }
    const line = logged(event);
    if (event.kind === "end" && event.reason === "stopped") {
      this.#why ??= `--max-time ${setup.options.maxTime}s reached`;
      await this.#record({ ...line, why: this.#why });
    } else await this.#record(line);
    this.#plot.take(line);
    switch (event.kind) {
      case "step":
        return this.#step(event);
      case "eval":
        return await this.#eval(event);
      case "sample":
        return await this.#sample(event.step, event.prompt + event.text);
      case "skip":
        status.clear();
        return writeError(
          `warning: skipped step ${event.step}: ${event.message}\n`,
        );
      case "end":
        this.#ended = event.reason;
        status.clear();
        this.#leavePlot();
    }
  }

  /** Reports that the run ends early; a failure to record it is ignored, as it may be the reason for the end. */
  async fail(error: unknown): Promise<void> {
    const message = error instanceof Error ? error.message : String(error);
    const { step } = this.#progress;
    const event = { event: "end", step, reason: "failed", message };
    await this.#record(event).catch(() => {});
  }

  /** Summarizes the run in one line, for its end. */
  summary(): string {
    const { step, maxSteps } = this.#progress;
    const seconds = (performance.now() - this.#begun) / 1000;
    const parts = [
      `${step} of ${maxSteps} steps`,
      `${step - this.#stepsBefore} in ${duration(seconds)}`,
      ...(this.#ended === "stopped" ? [`stopped: ${this.#why}`] : []),
    ];
    const last = this.#lastEval;
    if (last !== undefined) {
      const at = last.step === step ? partText(last) : ` at step ${last.step}`;
      parts.push(`validation loss ${last.valLoss.toFixed(4)}${at}`);
    }
    if (this.#ended !== "aborted" && last?.step !== step) {
      parts.push("no time was left for a last evaluation");
    }
    const { loss } = this.#lowest ?? {};
    if (this.#lowestStep !== undefined && loss !== last?.valLoss) {
      parts.push(`the lowest ${loss!.toFixed(4)} at step ${this.#lowestStep}`);
    }
    return parts.join(", ");
  }

  async #record(event: LoggedEvent): Promise<void> {
    const line = await this.#options.directory.record(event);
    if (this.#options.json) await this.#print(line);
  }

  async #print(text: string): Promise<void> {
    if (this.#outputClosed) return;
    try {
      await writeOutput(text);
    } catch (error) {
      if (!(error instanceof OutputClosedError)) throw error;
      this.#outputClosed = true;
      this.#options.onOutputClosed();
    }
  }

  #step(event: StepEvent): void {
    const { step, loss, gradNorm, learningRate, tokensPerSecond } = event;
    const { train } = this.#options.setup;
    const now = performance.now() / 1000;
    this.#firstStep ??= { step, at: now };
    if (this.#evalBegan !== undefined) {
      this.#evals.count++;
      this.#evals.seconds += now - this.#evalBegan;
      this.#evalBegan = undefined;
    }
    const left = this.#secondsLeft(event, now);
    this.#progress = {
      ...this.#progress,
      ...{ step, loss, tokensPerSecond },
      ...(left !== undefined && { secondsLeft: left }),
    };
    const isEvaluated = step === train.maxSteps ||
      (train.evalInterval > 0 && step % train.evalInterval === 0);
    if (isEvaluated) this.#evalBegan = now;
    this.#draw(isEvaluated ? "evaluating" : undefined);
    if (canRedraw()) return;
    const waited = now - this.#loggedAt;
    if (waited < LOG_SECONDS && step < train.maxSteps) return;
    this.#loggedAt = now;
    const line = logText({ ...this.#progress, gradNorm, rate: learningRate });
    writeError(`${line}\n`);
  }

  /**
   * Returns the seconds to the last step, with all evaluations, or to the end of `--max-time` if that is nearer;
   * undefined at the first step.
   */
  #secondsLeft(
    { step, tokensPerSecond }: StepEvent,
    now: number,
  ): number | undefined {
    const { step: first, at } = this.#firstStep!;
    if (step === first) return undefined;
    const { train, options, measured } = this.#options.setup;
    const { count, seconds } = this.#evals;
    return secondsLeft({
      ...train,
      step,
      perStep: (now - at - seconds) / (step - first),
      // An estimate before the first evaluation: a forward pass takes a third of a step.
      perEvaluation: count > 0
        ? seconds / count
        : measured / (3 * tokensPerSecond),
      untilDeadline: deadlineOf(options) / 1000 - now,
    });
  }

  async #eval(event: EvalEvent): Promise<void> {
    const { step, trainLoss, valLoss, bitsPerChar } = event;
    const { setup, directory, status, weights } = this.#options;
    this.#progress = { ...this.#progress, valLoss };
    this.#lastEval = event;
    status.clear();
    writeError(
      `step ${step}/${setup.train.maxSteps}: train loss ${
        trainLoss.toFixed(4)
      }, validation loss ${valLoss.toFixed(4)}, ${
        bitsPerChar.toFixed(3)
      } bits/char${partText(event)}\n`,
    );
    // An evaluation cut short by time is not comparable with the others, but is better than none.
    const compares = event.tokens === setup.measured;
    const isLower = valLoss < (this.#lowest?.loss ?? Infinity);
    if (compares) {
      if (isLower) this.#lowestStep = step;
      this.#lowest = lowestAfter(this.#lowest, valLoss);
      this.#checkLoss(event, this.#lowest);
    }
    if (isLower && (compares || !this.#hasBest)) {
      await directory.saveBest(await weights(), this.#hasOtherBest);
      this.#hasOtherBest = false;
      this.#hasBest = true;
    }
    this.#draw();
  }

  /** Ends the run if its loss has reached `--target-loss` or has not improved for as long as `--patience` allows. */
  #checkLoss(
    { step, valLoss }: EvalEvent,
    { loss, evalsSince }: LowestLoss,
  ): void {
    const { targetLoss, patience } = this.#options.setup.options;
    if (valLoss <= (targetLoss ?? -Infinity)) {
      this.#why = `--target-loss ${targetLoss} reached (${
        valLoss.toFixed(4)
      } at step ${step})`;
      this.#withoutLimit = " --target-loss off";
    } else if (evalsSince >= (patience ?? Infinity)) {
      this.#why =
        `no evaluation of the last ${patience} had a lower loss than ${
          loss.toFixed(4)
        }`;
      this.#withoutLimit = " --patience off";
    } else return;
    this.#options.onLossEndsRun();
  }

  async #sample(step: number, text: string): Promise<void> {
    if (this.#options.json) return;
    this.#options.status.clear();
    await this.#print(
      `--- a sample after step ${step} ---\n${forOutput(text.trim())}\n\n`,
    );
    this.#draw();
  }

  /** Leaves the plot on the terminal when the run ends. */
  #leavePlot(): void {
    if (!canRedraw()) return;
    const lines = this.#plot.lines({ ...room(), ascii: this.#ascii }, tinted);
    writeError(lines.map((line) => `${line}\n`).join(""));
  }

  #draw(doing?: string): void {
    const ascii = this.#ascii;
    const text = (columns: number, rows: number) =>
      [
        ...this.#plot.lines({ columns, rows, ascii }, tinted),
        statusText({ ...this.#progress, doing }, columns, { ascii }),
      ].join("\n");
    this.#options.status.show(text, { now: doing !== undefined });
  }
}
