/** Finds and reads a run or a checkpoint file that an argument names, with the facts in its directory. */

import { dirname, join } from "@std/path";
import {
  type Checkpoint,
  type CheckpointFile,
  DamagedCheckpointError,
  decodeCheckpoint,
  openCheckpoint,
} from "../../formats/checkpoint.ts";
import {
  arrayOf,
  elementSize,
  type TensorData,
} from "../../formats/safetensors.ts";
import { Model, type ModelPlacement } from "../../model/model.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { corpusRecord, loadCorpus, loadRecorded } from "../text/corpus.ts";
import type {
  Corpus,
  CorpusOptions,
  CorpusRecord,
} from "../text/corpus_tokens.ts";
import { commandError, reasonOf } from "../command/errors.ts";
import { exists, OpenFile } from "../run/files.ts";
import { DamagedConfigError, files, readRunConfig } from "../run/directory.ts";
import { givenOrNewest } from "../run/folder.ts";
import { runRemedy } from "../run/remedy.ts";
import { isRefusal, reasonGiven } from "../../refusal.ts";

/** A checkpoint and where it came from. */
export interface TrainedModel {
  /** The checkpoint's file. */
  readonly path: string;
  readonly checkpoint: Checkpoint;
  /** The record of the text in the run's `config.json`; undefined for a checkpoint file without a run. */
  readonly data: CorpusRecord | undefined;
}

/**
 * Reads a checkpoint.
 *
 * @param run a run's directory or a checkpoint file; the newest run if left out
 * @param options.best the weights with the lowest validation loss, in place of the last
 * @throws {CommandError} if there is no checkpoint, or it cannot be read
 */
export async function readTrainedModel(
  run: string | undefined,
  { best = false }: { readonly best?: boolean | undefined } = {},
): Promise<TrainedModel> {
  const path = await checkpointPath(run, best);
  const bytes = await readCheckpointFile(path);
  const checkpoint = await reading(path, () => decodeCheckpoint(bytes));
  return { path, checkpoint, data: await recordedData(dirname(path)) };
}

/** Reads a checkpoint; what is wrong with it becomes an error of the command. */
async function reading<Value>(
  path: string,
  read: () => Value | Promise<Value>,
): Promise<Value> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw commandError(
      `read ${path}`,
      reasonGiven(error),
      error instanceof DamagedCheckpointError
        ? `the run's other checkpoints may be whole: ${files.best}, and those that --keep kept`
        : await runRemedy(
          path,
          "expected a run's directory or a checkpoint that train wrote",
        ),
    );
  }
}

/** A checkpoint whose tensors are read when it is loaded on a device, and where it came from. */
export class OpenedModel implements Disposable {
  readonly path: string;
  readonly checkpoint: CheckpointFile;
  readonly data: CorpusRecord | undefined;
  readonly #file: OpenFile;

  private constructor(
    { path, checkpoint, data }: Omit<TrainedModel, "checkpoint"> & {
      readonly checkpoint: CheckpointFile;
    },
    file: OpenFile,
  ) {
    this.path = path;
    this.checkpoint = checkpoint;
    this.data = data;
    this.#file = file;
  }

  /** Opens a checkpoint; the arguments and errors are those of {@linkcode readTrainedModel}. */
  static async open(
    run: string | undefined,
    { best = false }: { readonly best?: boolean | undefined } = {},
  ): Promise<OpenedModel> {
    const path = await checkpointPath(run, best);
    let file: OpenFile;
    try {
      file = await OpenFile.open(path);
    } catch (error) {
      throw commandError(`read ${path}`, reasonOf(error));
    }
    using stack = new DisposableStack();
    stack.use(file);
    const checkpoint = await reading(path, () => openCheckpoint(file));
    const data = await recordedData(dirname(path));
    stack.move();
    return new OpenedModel({ path, checkpoint, data }, file);
  }

  /**
   * Reads the checkpoint into memory, each tensor once.
   *
   * @param weightsOnly leaves out the optimizer's moments, which are twice as large as the weights
   */
  async read(
    { weightsOnly }: { readonly weightsOnly: boolean },
  ): Promise<Checkpoint> {
    const { infos, readTensors: _, ...content } = this.checkpoint;
    const tensors = new Map<string, TensorData>();
    for (const [name, { dtype, shape }] of infos) {
      if (weightsOnly && name.startsWith("optimizer.")) continue;
      const count = shape.reduce((product, length) => product * length, 1);
      const bytes = new Uint8Array(count * elementSize(dtype));
      tensors.set(name, arrayOf(dtype, shape, bytes));
    }
    await reading(
      this.path,
      () =>
        this.checkpoint.readTensors((name, piece, offset) => {
          const data = tensors.get(name)?.data as Float64Array | undefined;
          data?.set(piece as Float64Array, offset);
        }),
    );
    return { ...content, tensors };
  }

  /** Loads the model on a device. */
  async load(placement: ModelPlacement): Promise<Model> {
    return await reading(
      this.path,
      () => Model.load(this.checkpoint, placement),
    );
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

/**
 * Returns the tokenizer of a checkpoint.
 *
 * @throws {CommandError} if it has none
 */
export function tokenizerOf(
  { path, checkpoint }: {
    readonly path: string;
    readonly checkpoint: Pick<Checkpoint, "tokenizer">;
  },
): Tokenizer {
  if (checkpoint.tokenizer !== undefined) return checkpoint.tokenizer;
  throw commandError(
    `use ${path} for text`,
    "it was saved without a tokenizer",
  );
}

/** Awaits a text for a run's tokenizer; if the tokenizer lacks a character of it, the error's hint says why. */
export function readWith(
  run: string,
  corpus: Promise<Corpus>,
): Promise<Corpus> {
  return withHint(
    corpus,
    `the tokenizer came with the weights of ${run}; to read other texts, train a model with their characters (--alphabet, --tokenizer chars:FILE) or with any character (--tokenizer bytes)`,
  );
}

/** Awaits a text; if a tokenizer does not fit it, the error has a hint. */
export async function withHint(
  corpus: Promise<Corpus>,
  hint: string,
): Promise<Corpus> {
  try {
    return await corpus;
  } catch (error) {
    if (!(error instanceof RangeError && isRefusal(error))) throw error;
    throw commandError(error.action, error.reason, hint);
  }
}

/**
 * Loads the text that `--data` names, else the text that a run was trained on.
 *
 * @throws {CommandError} if neither is known, or the text cannot be read or has changed
 */
export async function textOf(
  { path, data }: Pick<TrainedModel, "path" | "data">,
  given: readonly string[] | undefined,
  options: CorpusOptions,
): Promise<Corpus> {
  if (given !== undefined) {
    return await readWith(path, loadCorpus(given, options));
  }
  if (data !== undefined) {
    return await readWith(path, loadRecorded(data, options));
  }
  throw commandError(
    `find the text of ${path}`,
    "no config.json beside it names the text",
    "--data NAME or --data FILE names it",
  );
}

async function checkpointPath(
  run: string | undefined,
  best: boolean,
): Promise<string> {
  const given = await givenOrNewest(run);
  let isDirectory: boolean;
  try {
    ({ isDirectory } = await Deno.stat(given));
  } catch (error) {
    throw commandError(
      `read ${given}`,
      reasonOf(error),
      await runRemedy(given),
    );
  }
  if (!isDirectory) return given;
  const file = best ? files.best : files.checkpoint;
  const path = join(given, file);
  if (await exists(path)) return path;
  throw commandError(
    `find a model in ${given}`,
    `there is no ${file}`,
    await runRemedy(given),
  );
}

/** Reads the whole file, unless its first bytes show that it is of another kind: it may be huge. */
async function readCheckpointFile(path: string): Promise<Uint8Array> {
  try {
    const { isFile, size } = await Deno.stat(path);
    if (!isFile) throw new Error("it is not a file");
    using file = await Deno.open(path);
    const head = new Uint8Array(8);
    let at = await file.read(head) ?? 0;
    const headerLength = new DataView(head.buffer).getBigUint64(0, true);
    if (at < 8 || (headerLength > MAX_HEADER && size > head.length)) {
      return head.subarray(0, at);
    }
    // Deno.readFile would hold the content twice.
    const bytes = new Uint8Array(size);
    bytes.set(head);
    for (let count; (count = await file.read(bytes.subarray(at)));) at += count;
    return bytes.subarray(0, at);
  } catch (error) {
    throw commandError(`read ${path}`, reasonOf(error));
  }
}

/** No safetensors header is longer, in bytes. */
const MAX_HEADER = 100_000_000;

/** Reads a run's record of its text; undefined if there is no run or its record was edited: then `--data` is needed. */
async function recordedData(
  directory: string,
): Promise<CorpusRecord | undefined> {
  try {
    return corpusRecord((await readRunConfig(directory))?.["data"]);
  } catch (error) {
    if (error instanceof DamagedConfigError) return undefined;
    throw error;
  }
}
