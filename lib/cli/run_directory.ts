/**
 * A run's directory: what was asked for, what happened, and the weights.
 *
 *     config.json             model, training, data, tokenizer, command, versions
 *     metrics.jsonl           the events, one JSON object a line, as they happen
 *     samples.txt             what the model wrote on the way
 *     checkpoint.safetensors  the last state: weights, moments, step
 *     best.safetensors        the weights with the lowest validation loss
 *
 * Files that are replaced are written beside and renamed: what is there stays
 * whole until the new one is.
 */

import { join } from "@std/path";
import { CommandError, reasonOf } from "./errors.ts";

/** Names of the files. */
export const files = {
  config: "config.json",
  metrics: "metrics.jsonl",
  samples: "samples.txt",
  checkpoint: "checkpoint.safetensors",
  best: "best.safetensors",
} as const;

/** Where runs are if nothing else is said. */
export const RUNS = "runs";

/** A run's directory, open for writing. */
export class RunDirectory implements Disposable {
  readonly path: string;
  readonly #metrics: Deno.FsFile;
  #saved: number | undefined;

  private constructor(
    path: string,
    metrics: Deno.FsFile,
    savedStep: number | undefined,
  ) {
    this.path = path;
    this.#metrics = metrics;
    this.#saved = savedStep;
  }

  /**
   * Refuses a directory that something is in.
   *
   * @throws {CommandError} if there is, or if `path` is a file
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
   * Opens the directory of a new run, or of one that goes on: then events are
   * added to those that are there.
   *
   * @param config what `config.json` is to say
   * @param savedStep the step of the checkpoint that is there
   * @throws {CommandError} if it cannot be written to
   */
  static async open(
    path: string,
    { config, savedStep }: {
      readonly config: object;
      readonly savedStep?: number | undefined;
    },
  ): Promise<RunDirectory> {
    await writing(path, () => Deno.mkdir(path, { recursive: true }));
    const file = await openMetrics(path, savedStep === undefined);
    const directory = new RunDirectory(path, file, savedStep);
    const json = `${JSON.stringify(config, null, 2)}\n`;
    try {
      await replaceFile(
        join(path, files.config),
        new TextEncoder().encode(json),
      );
    } catch (error) {
      directory[Symbol.dispose]();
      throw error;
    }
    return directory;
  }

  /** Where the last state is. */
  get checkpointPath(): string {
    return join(this.path, files.checkpoint);
  }

  /** What is left of the run, in words. */
  async remains(): Promise<string> {
    if (this.#saved === undefined) return "no checkpoint was written yet";
    const info = await Deno.stat(this.checkpointPath).catch(() => undefined);
    return info === undefined
      ? `${this.checkpointPath} is gone`
      : `${this.checkpointPath} holds the state after step ${this.#saved}`;
  }

  /** Replaces the checkpoint. */
  async saveCheckpoint(bytes: Uint8Array, step: number): Promise<void> {
    await replaceFile(this.checkpointPath, bytes);
    this.#saved = step;
  }

  /** Replaces the weights with the lowest validation loss. */
  async saveBest(bytes: Uint8Array): Promise<void> {
    await replaceFile(join(this.path, files.best), bytes);
  }

  /** Adds an event. */
  async record(json: string): Promise<void> {
    let rest = new TextEncoder().encode(`${json}\n`);
    await writing(join(this.path, files.metrics), async () => {
      while (rest.length > 0) {
        rest = rest.subarray(await this.#metrics.write(rest));
      }
    });
  }

  /** Adds a sample. */
  async addSample(step: number, text: string): Promise<void> {
    const path = join(this.path, files.samples);
    const entry = `--- step ${step}\n${text}\n\n`;
    await writing(
      path,
      () => Deno.writeTextFile(path, entry, { append: true }),
    );
  }

  [Symbol.dispose](): void {
    this.#metrics.close();
  }
}

/** Opens the file of events. That a new run makes it is what keeps two from sharing a directory. */
async function openMetrics(path: string, isNew: boolean): Promise<Deno.FsFile> {
  const metrics = join(path, files.metrics);
  return await writing(metrics, async () => {
    try {
      return await Deno.open(metrics, {
        append: true,
        create: true,
        createNew: isNew,
      });
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      throw taken(path, files.metrics);
    }
  });
}

function taken(path: string, name: string): CommandError {
  return new CommandError(
    `Cannot train into ${path}: it exists and holds ${name}`,
    `--out names another directory, --resume ${path} goes on with a run`,
  );
}

/** Writes a file beside and renames it, so that there is always a whole one. */
async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const partial = `${path}.partial`;
  await writing(path, async () => {
    try {
      {
        using file = await Deno.open(partial, {
          write: true,
          create: true,
          truncate: true,
        });
        let rest = bytes;
        while (rest.length > 0) rest = rest.subarray(await file.write(rest));
        // Or a crash of the machine could leave the new name with no content.
        await file.sync();
      }
      await Deno.rename(partial, path);
    } catch (error) {
      await Deno.remove(partial).catch(() => {});
      throw error;
    }
  });
}

async function writing<Value>(
  path: string,
  action: () => Promise<Value>,
): Promise<Value> {
  try {
    return await action();
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

function cannotWrite(path: string, error: unknown): CommandError {
  if (error instanceof CommandError) return error;
  const missing = error instanceof Deno.errors.NotFound;
  return new CommandError(
    `Cannot write ${path}: ${
      missing ? "there is no such directory" : reasonOf(error)
    }`,
  );
}

/** What a run's `config.json` says; undefined if there is none that can be read. */
export async function readRunConfig(
  path: string,
): Promise<Record<string, unknown> | undefined> {
  try {
    const config = JSON.parse(
      await Deno.readTextFile(join(path, files.config)),
    );
    return typeof config === "object" && config !== null ? config : undefined;
  } catch {
    return undefined;
  }
}

/** The lowest validation loss that a run's events tell, up to a step; Infinity if they tell none. */
export async function bestValLoss(path: string, step: number): Promise<number> {
  const lines = await Deno.readTextFile(join(path, files.metrics))
    .catch(() => "");
  let best = Infinity;
  for (const line of lines.split("\n")) {
    // Most lines are steps.
    if (!line.startsWith('{"event":"eval"')) continue;
    const event = parsed(line);
    if (event && event.step <= step) {
      best = Math.min(best, event.valLoss ?? Infinity);
    }
  }
  return best;
}

/** An evaluation's event; undefined for a line that a crash or a full disk cut short. */
function parsed(
  line: string,
): { readonly step: number; readonly valLoss: number | null } | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** A name for a new run: the preset and the local time. */
export function newRunPath(preset: string, now: Date = new Date()): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const date = [now.getFullYear(), now.getMonth() + 1, now.getDate()];
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()];
  return join(
    RUNS,
    `${preset}-${date.map(two).join("")}-${time.map(two).join("")}`,
  );
}

/** The run in `runs/` whose checkpoint is the newest. */
export async function newestRun(): Promise<string | undefined> {
  let newest: { path: string; time: number } | undefined;
  const entries = await Array.fromAsync(Deno.readDir(RUNS)).catch(() => []);
  for (const { name } of entries) {
    const path = join(RUNS, name);
    const info = await Deno.stat(join(path, files.checkpoint))
      .catch(() => undefined);
    const time = info?.mtime?.getTime() ?? -Infinity;
    if (time > (newest?.time ?? -Infinity)) newest = { path, time };
  }
  return newest?.path;
}
