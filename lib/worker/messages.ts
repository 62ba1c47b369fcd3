/**
 * Messages between a page and a training session in a worker, as plain data.
 * `session.ts` answers, `client.ts` asks.
 */

import type { Device } from "../backends/open.ts";
import type { DeviceVerdict } from "../checks/device_choice.ts";
import type { ModelConfig } from "../config/model.ts";
import type { PresetName } from "../config/presets.ts";
import type { TrainConfig, TrainOptions } from "../config/train.ts";
import type { SamplerOptions } from "../text/sampler.ts";
import type { TokenizerJSON, TokenizerKind } from "../text/tokenizer.ts";
import type { EndEvent, EvalEvent, StepEvent } from "../train/events.ts";

/** Options of a new session: a text to train on, a checkpoint, or both. */
export interface SessionOptions {
  /** Text to train on. Without one, the model of the checkpoint can write but not train. */
  readonly text?: string | undefined;
  /** Recipe of a new model: what the other options leave out is as the preset has it. */
  readonly preset?: PresetName | undefined;
  /** Kind of tokenizer; that of the preset, else `chars`, by default. A checkpoint brings its own tokenizer. */
  readonly tokenizer?: TokenizerKind | undefined;
  /** Architecture of a new model. A checkpoint brings its own. */
  readonly model?: Partial<Omit<ModelConfig, "vocabSize">> | undefined;
  /** Training configuration. It overrides the configuration in a checkpoint. */
  readonly train?: TrainOptions | undefined;
  /** Bytes of a checkpoint to continue from. */
  readonly checkpoint?: Uint8Array<ArrayBuffer> | undefined;
  /**
   * Device to compute on; `auto` by default. With `auto`, training begins on the CPU and, after its first step, a GPU is measured
   * against the CPU; it continues on the GPU if that is faster and its results agree. Without a text, the
   * devices are measured with the writing of tokens before the session opens.
   */
  readonly device?: Device | undefined;
  /** Measurements of earlier sessions, which are not made again; see {@linkcode MeasuredEvent.verdicts}. */
  readonly verdicts?: Readonly<Record<string, DeviceVerdict>> | undefined;
  /** Threads of device `wasm`. */
  readonly threads?: number | undefined;
  /** Most validation tokens in an evaluation; 2^18 by default. */
  readonly evalTokens?: number | undefined;
  /** Options of the text samples during training; no samples by default. */
  readonly sample?:
    | (SamplerOptions & { readonly maxNewTokens: number })
    | undefined;
}

/** Description of an opened session. */
export interface Opened {
  /** Engine, and one line that describes the device. */
  readonly device: { readonly kind: string; readonly description: string };
  /** Number of trainable parameters. */
  readonly parameters: number;
  /** Architecture of the model. */
  readonly model: ModelConfig;
  /** Training configuration; undefined if there is no text to train on. */
  readonly train: TrainConfig | undefined;
  /** Steps that the checkpoint had done. */
  readonly step: number;
  /** Tokenizer of the model. */
  readonly tokenizer: TokenizerJSON;
}

/** Prompt, length and sampling of a text. */
export interface WriteRequest extends SamplerOptions {
  /** Text or token ids to continue; no text begins a document, if the tokenizer has `<|endoftext|>`. */
  readonly prompt: string | readonly number[];
  /** Tokens to write; 256 by default. */
  readonly maxNewTokens?: number | undefined;
  /** Most candidates to report for each token; 10 by default. */
  readonly candidates?: number | undefined;
}

/** A token that could have been chosen. */
export interface Candidate {
  /** Token id. */
  readonly id: number;
  /** Text of the token; `\xE2` for a byte that is a part of a character, the name of a special token. */
  readonly text: string;
  /** Probability that the model gives the token, before temperature and top-k. */
  readonly probability: number;
}

/** Attention of every head to the end of a text. */
export interface Attention {
  /** Texts of the T tokens that fit the model's context. */
  readonly tokens: readonly string[];
  /** For each layer the probabilities, shape (NH, T, T) row-major; row i is token i looking at all tokens. */
  readonly layers: readonly Float32Array<ArrayBuffer>[];
}

/** A model that only counts, and its loss. */
export interface Baseline {
  /** Length of the n-grams. */
  readonly order: number;
  /** Loss on the validation split, in nats per token. */
  readonly loss: number;
}

/** The calls that a session answers, one after another. */
export interface SessionCalls {
  /** Opens the device and puts the model on it. */
  open(options: SessionOptions): Promise<Opened>;
  /** Trains until `maxSteps` or {@linkcode SessionCalls.pause}; the other calls are answered between two steps. */
  train(): Promise<void>;
  /** Halts training after the current step. */
  pause(): void;
  /** Continues training after a pause. */
  resume(): void;
  /** Replaces the mask of the model and keeps its weights, so that a causal model can be compared with a broken one. */
  setMask(mask: ModelConfig["mask"]): Promise<void>;
  /** Returns a checkpoint: with the state of training if there is a text, else with the weights alone. */
  save(): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Continues a text and emits a `token` event for each new token; `<|endoftext|>` is the last. Training waits
   * meanwhile.
   */
  write(request: WriteRequest): Promise<void>;
  /** Ends {@linkcode SessionCalls.write} after the current token. */
  stopWriting(): void;
  /** Returns the attention of every head to the last tokens of a text. */
  attention(ids: readonly number[]): Promise<Attention>;
  /** Frees the model and the device. The session can be opened again. */
  close(): Promise<void>;
  /** Measures n-gram models on the split that an evaluation uses; it needs no open session. */
  baselines(request: {
    readonly text: string;
    readonly tokenizer: TokenizerJSON;
    readonly orders: readonly number[];
  }): Baseline[];
}

/** Steps since the last event of this kind. */
export interface StepsEvent {
  /** Kind of event. */
  readonly kind: "steps";
  /** The steps, in order. */
  readonly steps: readonly StepEvent[];
}

/** A sample of text during training. */
export interface SampledEvent {
  /** Kind of event. */
  readonly kind: "sample";
  /** Steps done. */
  readonly step: number;
  /** Prompt and text. */
  readonly text: string;
}

/** A token that {@linkcode SessionCalls.write} has read or written. */
export interface TokenEvent {
  /** Kind of event. */
  readonly kind: "token";
  /** Token id. */
  readonly id: number;
  /** Text of the token; `\xE2` for a byte that is a part of a character, the name of a special token. */
  readonly text: string;
  /** Probability that the model gave the token, before temperature and top-k; undefined for a token of the prompt. */
  readonly probability: number | undefined;
  /** Most probable tokens at this place, largest probability first; empty for a token of the prompt. */
  readonly candidates: readonly Candidate[];
}

/** A GPU is about to be measured against the CPU, which may take seconds. */
export interface MeasuringEvent {
  /** Kind of event. */
  readonly kind: "measuring";
  /** One line that describes the GPU. */
  readonly description: string;
}

/** Times of a GPU and the CPU, measured with the session's own work. */
export interface MeasuredEvent {
  /** Kind of event. */
  readonly kind: "measured";
  /** Unit of the times: a training step, or a token of a text. */
  readonly unit: "step" | "token" | "batch";
  /** Times, and the reason why the GPU is not used other than its time. */
  readonly verdict: DeviceVerdict;
  /** All measurements so far, for {@linkcode SessionOptions.verdicts} of a later session. */
  readonly verdicts: Readonly<Record<string, DeviceVerdict>>;
}

/**
 * A move to another device: to a GPU that is faster, or to the CPU because the GPU was lost. After a loss the session continues
 * from the last checkpoint, or from its beginning before there is one; the call that met the loss is answered on the CPU, and
 * `write` emits its tokens from the first one again.
 */
export interface MovedEvent {
  /** Kind of event. */
  readonly kind: "moved";
  /** Step that training continues from; later steps are done again. */
  readonly step: number;
  /** Engine, and one line that describes the device. */
  readonly device: Opened["device"];
  /** Reason of the move in a sentence. */
  readonly reason: string;
}

/** Any event of a session. */
export type SessionEvent =
  | StepsEvent
  | EvalEvent
  | SampledEvent
  | TokenEvent
  | MeasuringEvent
  | MeasuredEvent
  | MovedEvent
  | EndEvent;

/** A message to a session. */
export interface CallMessage {
  /** Number of the call, which its answer repeats. */
  readonly call: number;
  /** Name of the call. */
  readonly name: keyof SessionCalls;
  /** Argument of the call. */
  readonly argument: unknown;
}

/** A message from a session: an answer or an event. */
export type SessionMessage =
  | { readonly call: number; readonly result: unknown }
  | { readonly call: number; readonly error: PlainError }
  | { readonly event: SessionEvent };

/** An error as plain data: a structured clone would lose its name and its hint. */
export interface PlainError {
  /** Name of the class. */
  readonly name: string;
  /** Message of the error. */
  readonly message: string;
  /** A sentence that says what may help, if the error has one. */
  readonly hint: string | undefined;
}

/** The side of a channel that both ends need: a worker, a worker's own global scope, or a `MessagePort`. */
export interface SessionPort {
  /** Sends a message. */
  postMessage(message: unknown, transfer?: Transferable[]): void;
  /** Handler of messages. */
  onmessage: ((event: MessageEvent) => unknown) | null;
}
