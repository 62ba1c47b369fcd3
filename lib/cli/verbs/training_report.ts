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
import { logged, type Told } from "../run/board.ts";
import { OutputClosedError } from "../command/errors.ts";
import { deadlineOf, measuredTokens } from "../run/limits.ts";
import {
  logText,
  type Progress,
  secondsLeft,
  statusText,
} from "../terminal/progress.ts";
import { duration } from "../../report/numbers.ts";
import { LossPlot } from "../terminal/loss_plot.ts";
import type { RunDirectory } from "../run/directory.ts";
import { checkpointRecord, nothingTold } from "../run/history.ts";
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
import type { TrainingSetup } from "./training_setup.ts";

/** Seconds between lines if no status line can be drawn. */
const LOG_SECONDS = 10;

/** Returns the part of the validation split that an evaluation measured, to append to a line; empty if it measured all. */
function partText({ tokens, ofTokens }: EvalEvent): string {
  return tokens === ofTokens
    ? ""
    : ` (on ${tokens.toLocaleString("en")} of ${
      ofTokens.toLocaleString("en")
    } validation tokens)`;
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
  /** The lowest loss of evaluations that measured all their tokens. */
  #best: { readonly loss: number; readonly step?: number };
  readonly #tokens: number;
  /** `#hasBest`: `best.safetensors` exists. `#hasOtherBest`: it was chosen by evaluations of other tokens. */
  #hasBest: boolean;
  #hasOtherBest: boolean;
  #outputClosed = false;
  #why: string | undefined;
  #ranOutOfPatience = false;
  #ended: EndEvent["reason"] | undefined;
  #measured = "";
  /** The step of the last evaluation, and the time at which an evaluation and the work with it began, in seconds. */
  #evaluatedAt = -1;
  #lookBegan: number | undefined;
  #looks = { count: 0, seconds: 0 };

  constructor(options: ReportOptions) {
    const { train, resumed } = options.setup;
    this.#options = options;
    this.#stepsBefore = resumed?.step ?? 0;
    this.#progress = { step: this.#stepsBefore, maxSteps: train.maxSteps };
    this.#tokens = measuredTokens(options.setup);
    const { lowest } = resumed?.history ?? nothingTold;
    const own = lowest.get(this.#tokens);
    this.#best = { loss: own?.loss ?? Infinity };
    this.#hasBest = lowest.size > 0;
    this.#hasOtherBest = this.#hasBest && own === undefined;
    this.#plot = resumed?.history.plot ?? new LossPlot();
  }

  /** True if standard output was closed during training. */
  get outputClosed(): boolean {
    return this.#outputClosed;
  }

  /** True if all steps were done. */
  get complete(): boolean {
    return this.#ended === "done";
  }

  /** The flag, after a space, without which a resumed run would stop where it is; empty if there is none. */
  get adviceFlag(): string {
    if (this.#ranOutOfPatience) return " --patience off";
    const isStuck = this.#ended === "stopped" &&
      this.#progress.step === this.#stepsBefore;
    return isStuck ? " --max-time off" : "";
  }

  /** Records in words why the run ends before its last step: the loss no longer falls. */
  runsOutOfPatience(why: string): void {
    this.#why = why;
    this.#ranOutOfPatience = true;
  }

  /** Reports the start of the run. */
  async begin<Event extends Told>(event: Event): Promise<void> {
    await this.#record(event);
    this.#draw("starting");
  }

  /** Reports an event. */
  async take(event: TrainEvent): Promise<void> {
    const { directory } = this.#options;
    if (event.kind === "checkpoint") {
      const { step, bytes } = event;
      await directory.saveCheckpoint(bytes, step);
      const path = directory.checkpointPath;
      await this.#record(checkpointRecord({ step, path, bytes: bytes.length }));
      return;
    }
    const line = logged(event);
    if (event.kind === "end" && event.reason === "stopped") {
      const { maxTime } = this.#options.setup.options;
      this.#why ??= `--max-time ${maxTime}s reached`;
      await this.#record({ ...line, why: this.#why });
    } else await this.#record(line);
    this.#plot.take(line);
    switch (event.kind) {
      case "step":
        return this.#step(event);
      case "eval":
        return await this.#eval(event);
      case "sample": {
        const text = event.prompt + event.text;
        await directory.addSample(event.step, text);
        return await this.#sample(event.step, text);
      }
      case "skip":
        this.#options.status.clear();
        return writeError(
          `warning: skipped step ${event.step}: ${
            event.message.replace(/^Cannot go on training: /, "")
          }\n`,
        );
      case "end":
        this.#ended = event.reason;
        this.#options.status.clear();
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
    const { step, valLoss, maxSteps } = this.#progress;
    const seconds = (performance.now() - this.#begun) / 1000;
    const parts = [
      `${step} of ${maxSteps} steps`,
      `${step - this.#stepsBefore} in ${duration(seconds)}`,
      ...(this.#ended === "stopped" ? [`stopped: ${this.#why}`] : []),
    ];
    if (valLoss !== undefined) {
      const at = this.#evaluatedAt === step
        ? this.#measured
        : ` at step ${this.#evaluatedAt}`;
      parts.push(`validation loss ${valLoss.toFixed(4)}${at}`);
    }
    if (this.#ended !== "aborted" && this.#evaluatedAt !== step) {
      parts.push("no time was left for a last evaluation");
    }
    if (this.#best.step !== undefined && this.#best.loss !== valLoss) {
      parts.push(
        `the lowest ${this.#best.loss.toFixed(4)} at step ${this.#best.step}`,
      );
    }
    return parts.join(", ");
  }

  async #record<Event extends Told>(event: Event): Promise<void> {
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
    const { maxSteps } = this.#progress;
    const now = performance.now() / 1000;
    this.#firstStep ??= { step, at: now };
    this.#endLook(now);
    const { step: first, at } = this.#firstStep;
    this.#progress = {
      ...this.#progress,
      step,
      loss,
      tokensPerSecond,
      ...(step > first && {
        secondsLeft: this.#secondsLeft(event, {
          now,
          perStep: (now - at - this.#looks.seconds) / (step - first),
        }),
      }),
    };
    const isEvaluated = this.#isEvaluated(step);
    if (isEvaluated) this.#lookBegan = now;
    this.#draw(isEvaluated ? "evaluating" : undefined);
    if (canRedraw()) return;
    if (now - this.#loggedAt < LOG_SECONDS && step < maxSteps) return;
    this.#loggedAt = now;
    const line = logText({ ...this.#progress, gradNorm, rate: learningRate });
    writeError(`${line}\n`);
  }

  /** Records the time of the evaluation and the work with it. */
  #endLook(now: number): void {
    if (this.#lookBegan === undefined) return;
    this.#looks.count++;
    this.#looks.seconds += now - this.#lookBegan;
    this.#lookBegan = undefined;
  }

  /** Returns the seconds to the last step, with all evaluations, or to the end of `--max-time` if that is nearer. */
  #secondsLeft(
    { step, tokensPerSecond }: StepEvent,
    { now, perStep }: { readonly now: number; readonly perStep: number },
  ): number {
    const { train, options, dataset } = this.#options.setup;
    const { count, seconds } = this.#looks;
    const tokens = Math.min(
      dataset.size("val"),
      options.evalTokens || Infinity,
    );
    return secondsLeft({
      ...train,
      step,
      perStep,
      // An estimate before the first evaluation: a forward pass takes a third of a step.
      perEvaluation: count > 0
        ? seconds / count
        : tokens / (3 * tokensPerSecond),
      untilDeadline: deadlineOf(options) / 1000 - now,
    });
  }

  async #eval(event: EvalEvent): Promise<void> {
    const { step, trainLoss, valLoss, bitsPerChar } = event;
    const { setup, directory, weights } = this.#options;
    this.#progress = { ...this.#progress, valLoss };
    this.#evaluatedAt = step;
    this.#measured = partText(event);
    this.#options.status.clear();
    const losses = `train loss ${trainLoss.toFixed(4)}, validation loss ${
      valLoss.toFixed(4)
    }`;
    writeError(
      `step ${step}/${setup.train.maxSteps}: ${losses}, ${
        bitsPerChar.toFixed(3)
      } bits/char${this.#measured}\n`,
    );
    // An evaluation cut short by time is not comparable with the others, but is better than none.
    const compares = event.tokens === this.#tokens;
    if (valLoss < this.#best.loss && (compares || !this.#hasBest)) {
      if (compares) this.#best = { loss: valLoss, step };
      await directory.saveBest(await weights(), this.#hasOtherBest);
      this.#hasOtherBest = false;
      this.#hasBest = true;
    }
    this.#draw();
  }

  async #sample(step: number, text: string): Promise<void> {
    if (this.#options.json) return;
    this.#options.status.clear();
    await this.#print(
      `--- a sample after step ${step} ---\n${forOutput(text.trim())}\n\n`,
    );
    this.#draw();
  }

  #isEvaluated(step: number): boolean {
    const { evalInterval, maxSteps } = this.#options.setup.train;
    return step === maxSteps || (evalInterval > 0 && step % evalInterval === 0);
  }

  /** Leaves the plot on the terminal when the run ends. */
  #leavePlot(): void {
    if (!canRedraw()) return;
    const lines = this.#plot.lines({ ...room(), ascii: this.#ascii }, tinted);
    writeError(lines.map((line) => `${line}\n`).join(""));
  }

  #draw(doing?: string): void {
    const text = (columns: number, rows: number) => {
      const ascii = this.#ascii;
      const progress = { ...this.#progress, doing };
      const status = statusText(progress, columns, { ascii });
      return [...this.#plot.lines({ columns, rows, ascii }, tinted), status]
        .join(
          "\n",
        );
    };
    this.#options.status.show(text, { now: doing !== undefined });
  }
}
