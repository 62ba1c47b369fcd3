/**
 * Checkpoints: the weights of a model, its tokenizer and, if training can be
 * resumed, the optimizer state. The file format is safetensors, so other tools
 * can read checkpoints.
 *
 * Tensors: every parameter under its own name; the optimizer's moments as `optimizer.m.NAME` and
 * `optimizer.v.NAME`. Metadata: `format` "lm"; `version`; `config`, `tokenizer` and
 * `training` as JSON; and `digest`, a checksum of the tensors and the JSON. Random
 * numbers are counter-based, so seed and step are the whole state of the generator.
 */

import {
  type ModelConfig,
  modelConfig,
  type ModelOptions,
} from "../config/model.ts";
import { type TrainConfig, trainConfig } from "../config/train.ts";
import { xxh32 } from "./digest.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  safetensorsPieces,
  type TensorData,
} from "./safetensors.ts";
import { checkVocabulary, Tokenizer } from "../text/tokenizer.ts";
import { refusal } from "../refusal.ts";
import { clip } from "./safetensors_header.ts";

/** Progress and configuration of a training run. */
export interface TrainingState {
  /** Optimizer steps done. */
  readonly step: number;
  /** Training configuration. */
  readonly config: TrainConfig;
}

/** The content of a checkpoint. */
export interface Checkpoint {
  /** Architecture of the model. */
  readonly config: ModelConfig;
  /** Tensors by name: parameters, and moments with the prefix `optimizer.m.` or `optimizer.v.`. */
  readonly tensors: ReadonlyMap<string, TensorData>;
  /** Tokenizer of the model. */
  readonly tokenizer?: Tokenizer | undefined;
  /** Training state; absent if only the weights were saved. */
  readonly training?: TrainingState | undefined;
}

/** Error thrown if the content of a checkpoint differs from what was written. */
export class DamagedCheckpointError extends SyntaxError {}

const FORMAT = "lm";
const VERSION = "1";

/**
 * Encodes a checkpoint. The same content gives the same bytes.
 *
 * @throws {RangeError} if the tokenizer's vocabulary does not fit the model, or a tensor's shape does not fit its data
 */
export function encodeCheckpoint(
  checkpoint: Checkpoint,
): Uint8Array<ArrayBuffer> {
  return encodeSafetensors(checkpoint.tensors, metadataOf(checkpoint));
}

/**
 * Yields the bytes of {@linkcode encodeCheckpoint} in pieces, so that a large model is not held twice.
 *
 * @throws {RangeError} like {@linkcode encodeCheckpoint}
 */
export function* checkpointPieces(
  checkpoint: Checkpoint,
): Generator<Uint8Array, void> {
  const sources = [...checkpoint.tensors].map(([name, tensor]) =>
    [name, { ...tensor, data: () => tensor.data }] as const
  );
  yield* safetensorsPieces(new Map(sources), metadataOf(checkpoint));
}

function metadataOf(
  { config, tensors, tokenizer, training }: Checkpoint,
): Record<string, string> {
  const metadata: Record<string, string> = {
    format: FORMAT,
    version: VERSION,
    config: JSON.stringify(config),
  };
  if (tokenizer !== undefined) {
    checkVocabulary("write checkpoint", tokenizer, config);
    metadata.tokenizer = JSON.stringify(tokenizer.toJSON());
  }
  if (training !== undefined) metadata.training = JSON.stringify(training);
  metadata.digest = digestOf(tensors, metadata);
  return metadata;
}

/**
 * Decodes and validates a checkpoint.
 *
 * @throws {SyntaxError} if the bytes are not a valid checkpoint; the message gives the reason
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Model, Tokenizer } from "@lm/core";
 * import { decodeCheckpoint } from "@lm/core/formats";
 *
 * const tokenizer = Tokenizer.ascii();
 * await using model = await Model.create(
 *   { vocabSize: tokenizer.vocabSize, nLayer: 1, nHead: 1, nEmbd: 8 },
 *   { device: "reference" },
 * );
 * const checkpoint = decodeCheckpoint(await model.save({ tokenizer }));
 * assertEquals(checkpoint.config, model.config);
 * ```
 */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  const { tensors: stored, metadata } = decodeSafetensors(bytes);
  const { format, version } = metadata;
  if (format !== FORMAT) {
    refuse(
      `it is a safetensors file, but not one of this program (its format is ${
        format === undefined ? "not named" : JSON.stringify(format)
      })`,
    );
  }
  if (version !== VERSION) {
    refuse(`its version is ${version}, and this program reads ${VERSION}`);
  }
  const tensors = new Map(
    [...stored].map(([name, tensor]) => [presentName(name), tensor]),
  );
  const config = part("config", () => {
    const options = object(metadata["config"]) as unknown as ModelOptions;
    // Every layer has parameters. More layers than tensors are invalid, and building them could exhaust memory.
    const nLayer = Number(options.nLayer);
    if (nLayer > tensors.size) {
      throw new RangeError(
        `nLayer is ${nLayer}, and there are ${tensors.size} tensors`,
      );
    }
    return modelConfig(options);
  });
  const tokenizer = metadata["tokenizer"] === undefined
    ? undefined
    : part("tokenizer", () => Tokenizer.fromJSON(object(metadata.tokenizer)));
  if (tokenizer !== undefined && tokenizer.vocabSize !== config.vocabSize) {
    refuse(
      `its tokenizer has ${tokenizer.vocabSize} tokens, its model ${config.vocabSize}`,
    );
  }
  const training = metadata["training"] === undefined
    ? undefined
    : part("training", () => trainingState(object(metadata.training)));
  // The digest comes last: the checks above give more specific errors. Older files have no digest.
  const { digest } = metadata;
  if (digest !== undefined) {
    const found = digestOf(stored, metadata);
    if (found !== digest) {
      throw refusal(
        DamagedCheckpointError,
        "read checkpoint",
        `it is damaged: the digest of its content is ${found}, and it was written with ${
          clip(digest)
        }`,
      );
    }
  }
  return { config, tensors, tokenizer, training };
}

/**
 * Returns the digest of a checkpoint's content, 8 hexadecimal digits: the XXH32 checksums of
 * `config`, `tokenizer` and `training` (empty where absent) and then, by name, of each tensor's
 * line `NAME DTYPE SHAPE` and of its bytes, each checksum the seed of the next.
 */
function digestOf(
  tensors: ReadonlyMap<string, TensorData>,
  { config = "", tokenizer = "", training = "" }: Readonly<
    Record<string, string>
  >,
): string {
  const encoder = new TextEncoder();
  let hash = 0;
  for (const text of [config, tokenizer, training]) {
    hash = xxh32(encoder.encode(text), hash);
  }
  for (const name of [...tensors.keys()].sort()) {
    const { dtype, shape, data } = tensors.get(name)!;
    hash = xxh32(encoder.encode(`${name} ${dtype} ${shape}`), hash);
    hash = xxh32(
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      hash,
    );
  }
  return hash.toString(16).padStart(8, "0");
}

/** Returns the current name of a tensor. Older files name moments `adamw.m.NAME` and `adamw.v.NAME`. */
function presentName(name: string): string {
  return name.replace(/^adamw\.(?=[mv]\.)/, "optimizer.");
}

function trainingState(state: Record<string, unknown>): TrainingState {
  const { step, config } = state;
  if (!Number.isSafeInteger(step) || (step as number) < 0) {
    throw new RangeError(`step is ${step}`);
  }
  if (typeof config !== "object" || config === null) {
    throw new TypeError("config is missing");
  }
  return { step: step as number, config: trainConfig(config) };
}

function object(json: string | undefined): Record<string, unknown> {
  if (json === undefined) throw new TypeError("it is missing");
  const value: unknown = JSON.parse(json);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError("it is not a JSON object");
  }
  return value as Record<string, unknown>;
}

function part<Value>(name: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    return refuse(`its ${name} is unusable: ${(error as Error).message}`);
  }
}

/** Most characters of a reason, which may quote the file. */
const MOST_SAID = 300;

function refuse(reason: string): never {
  const said = reason.length > MOST_SAID
    ? `${reason.slice(0, MOST_SAID)}...`
    : reason;
  throw refusal(SyntaxError, "read checkpoint", said);
}
