/**
 * A run's directory: its configuration, its events, and the weights.
 *
 *     config.json             model, training, data, tokenizer, command, versions
 *     metrics.jsonl           the events, one JSON object a line, as they happen
 *     events.out.tfevents.lm  their numbers and samples, for TensorBoard
 *     samples.txt             samples of the model during training
 *     checkpoint.safetensors  the last state: weights, moments, step
 *     best.safetensors        the weights with the lowest validation loss
 *     best-earlier.safetensors  those by evaluations of other tokens, before --eval-tokens changed
 *     checkpoint-STEP.safetensors  earlier states, as many as --keep says
 *     report.html             the page by `report`; comparison.html: beside other runs
 *
 * Files that are replaced are written beside and renamed: the old file stays
 * whole until the new one is complete.
 */

import { dirname, join } from "@std/path";
import { recordOf, textOf } from "./board.ts";
import { CommandError, commandError } from "../command/errors.ts";
import { fileHeader } from "./event_file.ts";
import {
  cannotWrite,
  exists,
  ifThere,
  MadeDirectories,
  replaceFile,
  Replacement,
  writeAllSync,
  writing,
} from "./files.ts";
import { type LoggedEvent, now, readEventLines } from "./events.ts";
import { refusal } from "../../refusal.ts";

/** Names of the files. */
export const files = {
  config: "config.json",
  metrics: "metrics.jsonl",
  board: "events.out.tfevents.lm",
  samples: "samples.txt",
  checkpoint: "checkpoint.safetensors",
  best: "best.safetensors",
  earlierBest: "best-earlier.safetensors",
  report: "report.html",
  comparison: "comparison.html",
} as const;

/** The events of an earlier part of a run that are kept. */
export interface KeptEvents {
  /** The step from which the run is resumed. */
  readonly step: number;
  /** Returns true for the events of `metrics.jsonl` that are kept. */
  readonly keeps: (event: LoggedEvent) => boolean;
  /** An event that is added to them. */
  readonly added?: LoggedEvent | undefined;
}

const encoder = new TextEncoder();

/** The files of an open directory, and its settings. */
interface Opened {
  readonly metrics: Deno.FsFile;
  readonly board: Deno.FsFile;
  /** The directories that were made for it. */
  readonly made: MadeDirectories;
  /** The number of checkpoints kept under the name of their step. */
  readonly keep: number;
}

/** A run's directory, open for writing. */
export class RunDirectory implements Disposable {
  readonly path: string;
  readonly #opened: Opened;
  #savedStep: number | undefined;
  #closed = false;

  private constructor(path: string, opened: Opened) {
    this.path = path;
    this.#opened = opened;
  }

  /**
   * Refuses a directory that is not empty.
   *
   * @throws {CommandError} if it is not empty, or if `path` is a file
   */
  static async checkFree(path: string): Promise<void> {
    let entries: Deno.DirEntry[];
    try {
      entries = await Array.fromAsync(Deno.readDir(path));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw cannotWrite(path, error);
    }
    const [entry] = entries;
    if (entry !== undefined) throw taken(path, entry.name);
  }

  /**
   * Opens the directory of a new run, or of a resumed one, whose new events are
   * added to those that are kept. No other process can open it until it is disposed of.
   *
   * @param config the contents of `config.json`
   * @param history the lines kept of the run's earlier events and samples
   * @param keep the number of checkpoints kept under the name of their step, besides the last
   * @param orNext true if a new run may take `PATH-2`, `PATH-3`, … when another run has the name
   * @throws {CommandError} if it cannot be written to, or another process trains into it
   */
  static async open(
    path: string,
    { config, history, keep = 0, orNext = false }: {
      readonly config: object;
      readonly history?: KeptEvents | undefined;
      readonly keep?: number;
      readonly orNext?: boolean;
    },
  ): Promise<RunDirectory> {
    const isNew = history === undefined;
    const made = await MadeDirectories.make(
      isNew && orNext ? dirname(path) : path,
    );
    let metrics: Deno.FsFile | undefined;
    try {
      if (isNew && orNext) path = await claimName(path, made);
      metrics = isNew
        ? await openMetrics(path, { createNew: true })
        : await reopenMetrics(path, history);
      const json = `${JSON.stringify(config, null, 2)}\n`;
      await replaceFile(join(path, files.config), json);
      const file = join(path, files.board);
      if (isNew) await replaceFile(file, fileHeader(now()));
      const board = await writing(
        file,
        () => Deno.open(file, { append: true }),
      );
      const opened = new RunDirectory(path, { metrics, board, made, keep });
      opened.#savedStep = history?.step;
      return opened;
    } catch (error) {
      metrics?.close();
      if (isNew && metrics !== undefined) removeNew(path);
      made[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Writes the directory of a run that was not trained here: its configuration and its weights.
   *
   * @param checkpoint the pieces of the checkpoint's file
   * @throws {CommandError} if it is not empty, or cannot be written to; then nothing is left
   */
  static async write(
    path: string,
    { config, checkpoint, signal }: {
      readonly config: object;
      readonly checkpoint: Iterable<Uint8Array>;
      readonly signal: AbortSignal;
    },
  ): Promise<void> {
    await RunDirectory.checkFree(path);
    using _made = await MadeDirectories.make(path);
    using weights = await Replacement.begin(join(path, files.checkpoint));
    for (const piece of checkpoint) {
      signal.throwIfAborted();
      weights.write(piece);
    }
    using settings = await Replacement.begin(join(path, files.config));
    settings.write(encoder.encode(`${JSON.stringify(config, null, 2)}\n`));
    await Replacement.commit([weights, settings]);
  }

  /** The path of the last checkpoint. */
  get checkpointPath(): string {
    return join(this.path, files.checkpoint);
  }

  /** Describes, in words, the checkpoint from which the run can be resumed. */
  async remains(): Promise<string> {
    if (this.#savedStep === undefined) return "no checkpoint was written yet";
    return !await exists(this.checkpointPath)
      ? `${this.checkpointPath} is gone`
      : `${this.checkpointPath} holds the state after step ${this.#savedStep}`;
  }

  /** Replaces the checkpoint. */
  async saveCheckpoint(bytes: Uint8Array, step: number): Promise<void> {
    await replaceFile(this.checkpointPath, bytes);
    this.#savedStep = step;
    if (this.#opened.keep > 0) await this.#keepCheckpoint(step);
  }

  /** Gives the checkpoint a second name with its step, and removes the oldest such names beyond the limit. */
  async #keepCheckpoint(step: number): Promise<void> {
    const name = `checkpoint-${String(step).padStart(6, "0")}.safetensors`;
    const path = join(this.path, name);
    await writing(path, async () => {
      await ifThere(path, Deno.remove(path));
      try {
        // The file is only ever replaced, so a link keeps the present contents.
        await Deno.link(this.checkpointPath, path);
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) throw error;
        // The file system has no links.
        await replaceFile(path, await Deno.readFile(this.checkpointPath));
      }
      const entries = await Array.fromAsync(Deno.readDir(this.path));
      const kept = entries.map(({ name }) => name)
        .filter((name) => /^checkpoint-\d+\.safetensors$/.test(name))
        .toSorted((a, b) => stepOf(a) - stepOf(b));
      for (const old of kept.slice(0, -this.#opened.keep)) {
        await Deno.remove(join(this.path, old));
      }
    });
  }

  /**
   * Replaces the weights with the lowest validation loss.
   *
   * @param aside true if the earlier weights are kept under another name, as their loss is of other tokens
   */
  async saveBest(bytes: Uint8Array, aside: boolean): Promise<void> {
    const path = join(this.path, files.best);
    if (aside) {
      const earlier = join(this.path, files.earlierBest);
      await writing(earlier, () => ifThere(path, Deno.rename(path, earlier)));
    }
    await replaceFile(path, bytes);
  }

  /** Adds an event, with the time, and the text of a sample to `samples.txt`; returns the event's line. */
  async record(event: LoggedEvent): Promise<string> {
    const timed = { ...event, time: now() };
    // JSON has no NaN and no Infinity: they become null.
    const line = `${JSON.stringify(timed)}\n`;
    await writing(
      join(this.path, files.metrics),
      () => writeAllSync(this.#opened.metrics, encoder.encode(line)),
    );
    const record = recordOf(timed);
    if (record !== undefined) {
      await writing(
        join(this.path, files.board),
        () => writeAllSync(this.#opened.board, record),
      );
    }
    if (event.event === "sample") {
      const path = join(this.path, files.samples);
      const text = sampleEntry(event);
      await writing(
        path,
        () => Deno.writeTextFile(path, text, { append: true }),
      );
    }
    return line;
  }

  /** Removes the files of a new run that took no step, and the directories that were made for it. */
  discard(): void {
    this[Symbol.dispose]();
    removeNew(this.path);
    this.#opened.made[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#opened.metrics.close();
    this.#opened.board.close();
  }
}

/** Removes the files that a new run begins with. */
function removeNew(path: string): void {
  for (const name of [files.metrics, files.board, files.config]) {
    try {
      Deno.removeSync(join(path, name));
    } catch {
      // The error that ended the run says more.
    }
  }
}

/** Makes a new directory: `path`, or the first of `path-2`, `path-3`, … that is free. */
async function claimName(path: string, made: MadeDirectories): Promise<string> {
  for (let count = 1;; count++) {
    const name = count === 1 ? path : `${path}-${count}`;
    if (await writing(name, () => made.add(name))) return name;
  }
}

/** Returns the step in the name of a checkpoint that was kept. */
function stepOf(name: string): number {
  return Number(/\d+/.exec(name)![0]);
}

/** Returns true if a run has written a checkpoint. */
export async function hasCheckpoint(path: string): Promise<boolean> {
  return await exists(join(path, files.checkpoint));
}

/** Formats a sample's event for `samples.txt`. */
function sampleEntry(event: LoggedEvent): string {
  return `--- step ${event.step}\n${textOf(event)}\n\n`;
}

/**
 * Opens the file of events and locks it, as long as it is open. A new run makes it,
 * and the lock keeps two processes from sharing a directory.
 */
async function openMetrics(
  path: string,
  options: { readonly createNew: boolean },
): Promise<Deno.FsFile> {
  const metrics = join(path, files.metrics);
  return await writing(metrics, async () => {
    let file: Deno.FsFile;
    try {
      file = await Deno.open(metrics, {
        append: true,
        create: true,
        ...options,
      });
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      throw taken(path, files.metrics);
    }
    if (await file.tryLock(true)) return file;
    file.close();
    throw commandError(`resume ${path}`, "another process is training into it");
  });
}

/**
 * Replaces a run's events, samples and TensorBoard numbers by those that are kept.
 *
 * @returns the file of events
 */
async function reopenMetrics(
  path: string,
  { keeps, added }: KeptEvents,
): Promise<Deno.FsFile> {
  // Stays locked until the new file is locked, so no other process replaces it.
  using _locked = await openMetrics(path, { createNew: false });
  using metrics = await Replacement.begin(join(path, files.metrics));
  using samples = await Replacement.begin(join(path, files.samples));
  using board = await Replacement.begin(join(path, files.board));
  let begun = false;
  const keep = (line: string, event: LoggedEvent) => {
    metrics.write(encoder.encode(`${line}\n`));
    if (event.event === "sample") {
      samples.write(encoder.encode(sampleEntry(event)));
    }
    if (!begun) board.write(fileHeader(event.time ?? now()));
    begun = true;
    board.write(recordOf(event) ?? new Uint8Array());
  };
  for await (
    const { line, event } of readEventLines(join(path, files.metrics))
  ) {
    if (keeps(event)) keep(line, event);
  }
  if (added !== undefined) keep(JSON.stringify(added), added);
  if (!begun) board.write(fileHeader(now()));
  await Replacement.commit([metrics, samples, board]);
  return await openMetrics(path, { createNew: false });
}

function taken(path: string, name: string): CommandError {
  return commandError(
    `train into ${path}`,
    `it exists and holds ${name}`,
    `--out names another directory, --resume ${path} continues a run`,
  );
}

/** The error that a run's `config.json` does not hold a JSON object. */
export class DamagedConfigError extends CommandError {
  override readonly name = "DamagedConfigError";
}

/**
 * Reads a run's `config.json`; undefined if there is none.
 *
 * @throws {DamagedConfigError} if it does not hold a JSON object
 * @throws {CommandError} if it exists but cannot be read
 */
export async function readRunConfig(
  path: string,
): Promise<Record<string, unknown> | undefined> {
  const file = join(path, files.config);
  const text = await ifThere(file, Deno.readTextFile(file));
  if (text === undefined) return undefined;
  try {
    const config = JSON.parse(text);
    const isObject = typeof config === "object" && config !== null;
    if (isObject && !Array.isArray(config)) return config;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw refusal(DamagedConfigError, `read ${file}`, "it is not a JSON object");
}

/** Returns the steps that a run had done when it was imported; 0 if it was not, or had no training. */
export function importedStep(
  config: Readonly<Record<string, unknown>> | undefined,
): number {
  const { step } = Object(config?.["imported"]);
  return Number.isSafeInteger(step) ? step : 0;
}
