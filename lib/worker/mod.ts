/**
 * Calls a training session in a worker: `serveSession` of `@lm/core` runs in the worker,
 * `SessionClient` in the page, and messages go between them. This door imports no engine, so the
 * page's own script stays small.
 *
 * @example
 * ```ts
 * import { serveSession } from "@lm/core";
 * import { SessionClient, type SessionEvent } from "@lm/core/worker";
 * import { assertEquals } from "@std/assert";
 *
 * // In a page the ports are the worker's own scope, and the worker.
 * const { port1, port2 } = new MessageChannel();
 * serveSession(port1);
 * const events: SessionEvent[] = [];
 * const session = new SessionClient(port2, (event) => events.push(event));
 * await session.call("open", {
 *   text: "to be or not to be, that is the question. ".repeat(9),
 *   model: { blockSize: 8, nLayer: 1, nHead: 1, nEmbd: 8 },
 *   train: { batchSize: 2, maxSteps: 5 },
 *   device: "reference",
 * });
 * await session.call("train");
 * const end = events.at(-1)!;
 * assertEquals(end.kind === "end" && end.step, 5);
 * await session.call("close");
 * port1.close();
 * port2.close();
 * ```
 *
 * @module
 */

export { SessionClient, SessionError } from "./client.ts";
export type {
  Attention,
  Baseline,
  Candidate,
  MeasuredEvent,
  MeasuringEvent,
  MovedEvent,
  Opened,
  PlainError,
  SampledEvent,
  SessionCalls,
  SessionEvent,
  SessionOptions,
  SessionPort,
  StepsEvent,
  TokenEvent,
  WriteRequest,
} from "./messages.ts";
export type { Device } from "../backends/open.ts";
export type { DeviceVerdict } from "../checks/device_choice.ts";
export type { ModelConfig, Position } from "../config/model.ts";
export type { PresetName } from "../config/presets.ts";
export type { TrainConfig, TrainOptions } from "../config/train.ts";
export type { SamplerOptions } from "../text/sampler.ts";
export type { TokenizerJSON, TokenizerKind } from "../text/tokenizer.ts";
export type { EndEvent, EvalEvent, StepEvent } from "../train/events.ts";
