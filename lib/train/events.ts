/** What training tells, as plain data: one object an event, ready for JSON (but for a checkpoint's bytes). */

/** One optimizer step was done. */
export interface StepEvent {
  /** Which event this is. */
  readonly event: "step";
  /** Steps done, from 1. */
  readonly step: number;
  /** Mean training loss of the step's batch in nats per token, with label smoothing if the model has it. */
  readonly loss: number;
  /** Global gradient norm before clipping. */
  readonly gradNorm: number;
  /** The rate that the step was taken with. */
  readonly learningRate: number;
  /** Training tokens per second, over the steps whose metrics came together. */
  readonly tokensPerSecond: number;
}

/** The model was evaluated after `step` steps: plain cross-entropy in nats per token, no smoothing, no dropout. */
export interface EvalEvent {
  /** Which event this is. */
  readonly event: "eval";
  /** Steps done. */
  readonly step: number;
  /** On windows spread evenly over the training split. */
  readonly trainLoss: number;
  /** On the validation split, or on windows spread evenly over it: see `tokens`. */
  readonly valLoss: number;
  /** `valLoss` in bits per character. */
  readonly bitsPerChar: number;
  /** Tokens of the validation split that were predicted. */
  readonly tokens: number;
  /** Tokens of the validation split that can be predicted: the same number if all of it was measured. */
  readonly ofTokens: number;
}

/** How far the first step after an evaluation moved the weights. */
export interface UpdateEvent {
  /** Which event this is. */
  readonly event: "update";
  /** Steps done, that step included. */
  readonly step: number;
  /** ‖Δw‖₂ / ‖w‖₂ of each weight matrix, by name, w as it was before the step; without those that were zero. */
  readonly ratios: Readonly<Record<string, number>>;
}

/** Text that the model wrote after `step` steps. */
export interface SampleEvent {
  /** Which event this is. */
  readonly event: "sample";
  /** Steps done. */
  readonly step: number;
  /** What the text continues. */
  readonly prompt: string;
  /** The text, without the prompt. */
  readonly text: string;
}

/** The state after `step` steps, ready to be written to a file. */
export interface CheckpointEvent {
  /** Which event this is. */
  readonly event: "checkpoint";
  /** Steps done. */
  readonly step: number;
  /** What `Trainer.save` gives: safetensors. */
  readonly bytes: Uint8Array;
}

/** A step was left out: its loss or gradient was not finite, and the weights are those from before. */
export interface SkipEvent {
  /** Which event this is. */
  readonly event: "skip";
  /** The step, from 1; it counts as done. */
  readonly step: number;
  /** What was not finite, and where it began. */
  readonly message: string;
}

/** Training is over. Always the last event. */
export interface EndEvent {
  /** Which event this is. */
  readonly event: "end";
  /** Steps done. */
  readonly step: number;
  /** Whether `maxSteps` was reached, or the signal or `Trainer.stop` came first. */
  readonly reason: "done" | "aborted" | "stopped";
  /** Wall time of this run. */
  readonly seconds: number;
}

/** What happens in training, in order. */
export type TrainEvent =
  | StepEvent
  | EvalEvent
  | UpdateEvent
  | SampleEvent
  | CheckpointEvent
  | SkipEvent
  | EndEvent;
