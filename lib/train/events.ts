/** Training events as plain data: one object per event, ready for JSON (except the bytes of a checkpoint). */

/** Event of a completed optimizer step. */
export interface StepEvent {
  /** Kind of event. */
  readonly kind: "step";
  /** Number of the step, from 1. */
  readonly step: number;
  /** Mean training loss of the step's batch in nats per token, including label smoothing. */
  readonly loss: number;
  /** Global gradient norm before clipping. */
  readonly gradNorm: number;
  /** Learning rate of the step. */
  readonly learningRate: number;
  /** Training tokens per second, over the steps whose metrics were read together. */
  readonly tokensPerSecond: number;
}

/** Event of an evaluation. Losses are cross-entropy in nats per token, without label smoothing and dropout. */
export interface EvalEvent {
  /** Kind of event. */
  readonly kind: "eval";
  /** Steps done. */
  readonly step: number;
  /** Loss on windows spread evenly over the training split. */
  readonly trainLoss: number;
  /** Loss on the validation split, or on windows spread evenly over it: see `tokens`. */
  readonly valLoss: number;
  /** `valLoss` in bits per character. */
  readonly bitsPerChar: number;
  /** Number of validation tokens that were predicted. */
  readonly tokens: number;
  /** Number of validation tokens that can be predicted; equals `tokens` if the whole split was measured. */
  readonly ofTokens: number;
}

/** Event that gives the size of the first weight update after an evaluation. */
export interface UpdateEvent {
  /** Kind of event. */
  readonly kind: "update";
  /** Steps done, including the measured step. */
  readonly step: number;
  /** ‖Δw‖₂ / ‖w‖₂ of each weight matrix w before the step, by name, without all-zero matrices. */
  readonly ratios: Readonly<Record<string, number>>;
}

/** Event of a text sample. */
export interface SampleEvent {
  /** Kind of event. */
  readonly kind: "sample";
  /** Steps done. */
  readonly step: number;
  /** Prompt of the sample. */
  readonly prompt: string;
  /** Generated text, without the prompt. */
  readonly text: string;
}

/** Event with a checkpoint, ready to be written to a file. */
export interface CheckpointEvent {
  /** Kind of event. */
  readonly kind: "checkpoint";
  /** Steps done. */
  readonly step: number;
  /** Bytes of the checkpoint, as from `Trainer.save`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Event of a skipped step: its loss or gradient was not finite, and the weights did not change. */
export interface SkipEvent {
  /** Kind of event. */
  readonly kind: "skip";
  /** Number of the skipped step, from 1; the step counts as done. */
  readonly step: number;
  /** Description of the first value that was not finite. */
  readonly message: string;
}

/** Event of the end of training; always the last event. */
export interface EndEvent {
  /** Kind of event. */
  readonly kind: "end";
  /** Steps done. */
  readonly step: number;
  /** Reason of the end: `maxSteps` was reached, the signal aborted, or `Trainer.stop` or the deadline ended the run. */
  readonly reason: "done" | "aborted" | "stopped";
  /** Wall time of the run in seconds. */
  readonly seconds: number;
}

/** Any event of {@linkcode Trainer.run}. */
export type TrainEvent =
  | StepEvent
  | EvalEvent
  | UpdateEvent
  | SampleEvent
  | CheckpointEvent
  | SkipEvent
  | EndEvent;
