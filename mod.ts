/**
 * Trains, samples and inspects small GPT-style language models on WebGPU or the
 * CPU, without native dependencies.
 *
 * A {@linkcode Tokenizer} turns text into ids, a {@linkcode Dataset} cuts them into
 * batches, a {@linkcode Trainer} fits a {@linkcode Model} to them, and a
 * {@linkcode Sampler} chooses the ids that the model generates. The library uses no
 * files and no console, so it runs in a browser as well as in Deno.
 *
 * `@lm/core/text` has more for texts and tokens, `@lm/core/formats` reads and writes files.
 *
 * @example
 * ```ts
 * import { Dataset, Model, Tokenizer, Trainer } from "@lm/core";
 *
 * const text = "A rose is a rose is a rose. ".repeat(20);
 * const tokenizer = Tokenizer.chars(text);
 * const dataset = new Dataset(tokenizer.encode(text), { blockSize: 16, batchSize: 2, seed: 1 });
 * await using model = await Model.create(
 *   { vocabSize: tokenizer.vocabSize, blockSize: 16, nLayer: 1, nHead: 2, nEmbd: 16 },
 *   { device: "reference", seed: 1, tokenizer },
 * );
 * for await (const event of new Trainer(model, dataset, { maxSteps: 3 }).run()) {
 *   if (event.kind === "step") console.log(event.step, event.loss);
 * }
 * for await (const piece of model.write("A", { temperature: 0.9, topK: 10, seed: 7, maxNewTokens: 8 })) {
 *   console.log(piece);
 * }
 * ```
 *
 * @module
 */

export { attentionMaps } from "./lib/model/attention_maps.ts";
export {
  type Backend,
  type BackendKind,
  DeviceLostError,
  NoAdapterError,
  type Numbers,
  OutOfMemoryError,
  type ProductTables,
} from "./lib/backends/backend.ts";
export {
  type Device,
  type DeviceOptions,
  openBackend,
} from "./lib/backends/open.ts";
export type {
  Checkpoint,
  CheckpointFile,
  TrainingState,
} from "./lib/formats/checkpoint.ts";
export {
  type ModelConfig,
  modelConfig,
  type ModelOptions,
  type Position,
} from "./lib/config/model.ts";
export { isRefusal, type Refusal } from "./lib/refusal.ts";
export {
  type TrainConfig,
  trainConfig,
  type TrainOptions,
} from "./lib/config/train.ts";
export {
  type Batch,
  type BatchShape,
  Dataset,
  type DatasetOptions,
  type EvalBatch,
  type Split,
} from "./lib/text/dataset.ts";
export type { EvaluateOptions } from "./lib/model/evaluate.ts";
export type {
  CheckpointEvent,
  EndEvent,
  EvalEvent,
  SampleEvent,
  SkipEvent,
  StepEvent,
  TrainEvent,
  UpdateEvent,
} from "./lib/train/events.ts";
export {
  type GenerateOptions,
  generateText,
  type GenerateTextOptions,
  type TokenGenerator,
  type WriteOptions,
} from "./lib/model/generate.ts";
export {
  type CreateOptions,
  Model,
  type ModelPlacement,
} from "./lib/model/model.ts";
export { NonFiniteError } from "./lib/train/metrics.ts";
export { type Preset, type PresetName, presets } from "./lib/config/presets.ts";
export type {
  Dtype,
  DtypeArrays,
  TensorData,
  TensorInfo,
} from "./lib/formats/safetensors.ts";
export {
  type Logits,
  Sampler,
  type SamplerOptions,
} from "./lib/text/sampler.ts";
export type { SplitName } from "./lib/text/bpe/split.ts";
export { endOfText } from "./lib/text/special.ts";
export type { BpeJSON, BpeVocabulary } from "./lib/text/bpe/vocabulary.ts";
export type { CharactersJSON } from "./lib/text/character_tokenizer.ts";
export type {
  DecodeOptions,
  DecodeStream,
  EncodeOptions,
  EncodeStream,
} from "./lib/text/token_streams.ts";
export {
  type BpeOptions,
  Tokenizer,
  type TokenizerJSON,
  type TokenizerKind,
  type TokenizerMakers,
  type TokenizerOptions,
} from "./lib/text/tokenizer.ts";
export type { Tokens } from "./lib/text/tokens.ts";
export { Trainer } from "./lib/train/trainer.ts";
export type { SampleRecipe, TrainerExtras } from "./lib/train/extras.ts";
export { serveSession } from "./lib/worker/session.ts";
export type { SessionPort } from "./lib/worker/messages.ts";
