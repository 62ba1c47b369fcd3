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
import { Xxh32, xxh32 } from "./digest.ts";
import {
  type ByteSource,
  decodeSafetensors,
  encodeSafetensors,
  openSafetensors,
  safetensorsPieces,
  type TensorData,
  type TensorInfo,
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
  const content = contentOf(metadata, stored.size);
  // The digest comes last: the checks above give more specific errors. Older files have no digest.
  if (metadata.digest !== undefined) {
    checkDigest(digestOf(stored, metadata), metadata);
  }
  const tensors = new Map(
    [...stored].map(([name, tensor]) => [presentName(name), tensor]),
  );
  return { ...content, tensors };
}

/** A checkpoint whose tensors are read in pieces, so that a large model is not held twice. */
export interface CheckpointFile extends Omit<Checkpoint, "tensors"> {
  /** Element types and shapes by name; the names are those of {@linkcode Checkpoint.tensors}. */
  readonly infos: ReadonlyMap<string, TensorInfo>;
  /**
   * Reads all tensors, one after another and each from its beginning to its end.
   *
   * @param take called with each piece, and the index of its first element in the tensor
   * @throws {DamagedCheckpointError} at the end, if the content differs from what was written
   */
  readTensors(
    take: (name: string, piece: TensorData["data"], offset: number) => void,
  ): Promise<void>;
}

/**
 * Opens a checkpoint without reading its tensors; the checks are those of {@linkcode decodeCheckpoint}.
 *
 * @throws {SyntaxError} if the bytes are not a valid checkpoint; the message gives the reason
 *
 * @example
 * ```ts
 * import { Model } from "@lm/core";
 * import { openCheckpoint } from "@lm/core/formats";
 *
 * const config = { vocabSize: 5, blockSize: 4, nLayer: 1, nHead: 1, nEmbd: 4 };
 * await using model = await Model.create(config, { device: "reference" });
 * const file = new Blob([await model.save()]);
 * const checkpoint = await openCheckpoint({
 *   size: file.size,
 *   read: (begin, end) => file.slice(begin, end).bytes(),
 * });
 * await using same = await Model.load(checkpoint, { device: "reference" });
 * ```
 */
export async function openCheckpoint(
  source: ByteSource,
): Promise<CheckpointFile> {
  const file = await openSafetensors(source);
  const { metadata } = file;
  const content = contentOf(metadata, file.names.size);
  const names = [...file.names].sort();
  const infos = new Map(
    names.map((name) => [presentName(name), file.info(name)]),
  );
  return {
    ...content,
    infos,
    async readTensors(take) {
      const digest = new Digest(metadata);
      for (const name of names) {
        digest.begin(name, file.info(name));
        let offset = 0;
        for await (const piece of file.pieces(name)) {
          if (metadata.digest !== undefined) digest.add(piece);
          take(presentName(name), piece, offset);
          offset += piece.length;
        }
      }
      if (metadata.digest !== undefined) checkDigest(digest.value(), metadata);
    },
  };
}

/** Metadata of a checkpoint. */
type Metadata = Readonly<Record<string, string>> & {
  readonly config?: string;
  readonly tokenizer?: string;
  readonly training?: string;
  readonly digest?: string;
};

/** Returns what a checkpoint's metadata say of its content. */
function contentOf(
  metadata: Metadata,
  tensorCount: number,
): Omit<Checkpoint, "tensors"> {
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
  const config = part("config", () => {
    const options = object(metadata["config"]) as unknown as ModelOptions;
    // Every layer has parameters. More layers than tensors are invalid, and building them could exhaust memory.
    const nLayer = Number(options.nLayer);
    if (nLayer > tensorCount) {
      throw new RangeError(
        `nLayer is ${nLayer}, and there are ${tensorCount} tensors`,
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
  return { config, tokenizer, training };
}

function checkDigest(found: string, { digest }: Metadata): void {
  if (found === digest) return;
  throw refusal(
    DamagedCheckpointError,
    "read checkpoint",
    `it is damaged: the digest of its content is ${found}, and it was written with ${
      clip(digest!)
    }`,
  );
}

/**
 * The digest of a checkpoint's content, 8 hexadecimal digits: the XXH32 checksums of
 * `config`, `tokenizer` and `training` (empty where absent) and then, by name, of each tensor's
 * line `NAME DTYPE SHAPE` and of its bytes, each checksum the seed of the next.
 */
class Digest {
  #seed = 0;
  /** Checksum of the bytes of a tensor. */
  #bytes: Xxh32 | undefined;

  constructor({ config = "", tokenizer = "", training = "" }: Metadata) {
    for (const text of [config, tokenizer, training]) this.#text(text);
  }

  /** Begins a tensor; they come by name. */
  begin(name: string, { dtype, shape }: TensorInfo): void {
    this.#end();
    this.#text(`${name} ${dtype} ${shape}`);
    this.#bytes = new Xxh32(this.#seed);
  }

  /** Adds a piece of the tensor. */
  add({ buffer, byteOffset, byteLength }: ArrayBufferView): void {
    this.#bytes!.update(new Uint8Array(buffer, byteOffset, byteLength));
  }

  value(): string {
    this.#end();
    return this.#seed.toString(16).padStart(8, "0");
  }

  #end(): void {
    this.#seed = this.#bytes?.value() ?? this.#seed;
    this.#bytes = undefined;
  }

  #text(text: string): void {
    this.#seed = xxh32(new TextEncoder().encode(text), this.#seed);
  }
}

function digestOf(
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Metadata,
): string {
  const digest = new Digest(metadata);
  for (const name of [...tensors.keys()].sort()) {
    const tensor = tensors.get(name)!;
    digest.begin(name, tensor);
    digest.add(tensor.data);
  }
  return digest.value();
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
