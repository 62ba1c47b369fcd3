/** Summarizes a run from its files, for `list` and `info`. */

import { basename, join, resolve } from "@std/path";
import { modelConfig } from "../../config/model.ts";
import { type PresetName, presets } from "../../config/presets.ts";
import { commandError } from "../command/errors.ts";
import { ifThere } from "./files.ts";
import { commandLine } from "../command/program.ts";
import { files, importedStep, readRunConfig } from "./directory.ts";
import { type LoggedEvent, readEventLines } from "./events.ts";
import { isBetter } from "./history.ts";

/** The state of a run according to its files: without events it is `imported` from another program, or `unknown`. */
export type RunState =
  | "running"
  | "finished"
  | "stopped"
  | "failed"
  | "imported"
  | "unknown";

/** A summary of a run. Facts that its files lack are null. */
export interface RunSummary {
  /** The name of its directory. */
  readonly name: string;
  readonly path: string;
  /** The preset whose architecture it has; `custom` if it has another. */
  readonly preset: PresetName | "custom";
  readonly state: RunState;
  /** The reason why it stopped or failed, in words. */
  readonly why: string | null;
  readonly step: number;
  readonly maxSteps: number | null;
  /** Of the last step's batch, in nats per token. */
  readonly loss: number | null;
  /** The last evaluation's losses, in nats per token, and its step. */
  readonly trainLoss: number | null;
  readonly valLoss: number | null;
  readonly evalStep: number | null;
  /** The lowest validation loss of the evaluations that measured most, and its step. */
  readonly bestValLoss: number | null;
  readonly bestStep: number | null;
  /** The time at which it began, in ISO 8601. */
  readonly began: string | null;
  /** The command that made it. */
  readonly command: string | null;
  /** Size of its files. */
  readonly bytes: number;
}

/**
 * Reads the summary of a run from its files.
 *
 * @throws {CommandError} if `path` is not a run's directory, or one of its files cannot be read
 */
export async function readRunSummary(path: string): Promise<RunSummary> {
  const config = await readRunConfig(path);
  if (config === undefined) {
    throw commandError(
      `read ${path}`,
      `it is not a run, as it has no ${files.config}`,
    );
  }
  const metrics = join(path, files.metrics);
  const locked = await isLocked(metrics);
  let step = importedStep(config);
  let last: LoggedEvent | undefined;
  let lastEval: LoggedEvent | undefined;
  let best: LoggedEvent | undefined;
  let ended: LoggedEvent | undefined;
  for await (const { event } of readEventLines(metrics, { lastStep: true })) {
    step = Math.max(step, event.step);
    if (event.event === "step") last = event;
    if (event.event === "start") ended = undefined;
    if (event.event === "end") ended = event;
    if (event.event !== "eval") continue;
    lastEval = event;
    if (isBetter(event, best)) best = event;
  }
  const { train, command, began } = config;
  return {
    name: basename(resolve(path)),
    path,
    preset: presetOf(Object(config["model"])),
    state: locked === undefined
      ? typeof config["imported"] === "object" ? "imported" : "unknown"
      : locked
      ? "running"
      : stateOf(ended?.reason),
    why: locked ? null : textOf(ended?.message ?? ended?.why),
    step,
    maxSteps: numberOf(Object(train)["maxSteps"]),
    loss: numberOf(last?.loss),
    trainLoss: numberOf(lastEval?.trainLoss),
    valLoss: numberOf(lastEval?.valLoss),
    evalStep: lastEval?.step ?? null,
    bestValLoss: numberOf(best?.valLoss),
    bestStep: best?.step ?? null,
    began: textOf(began),
    command: Array.isArray(command) ? commandLine(command.map(String)) : null,
    bytes: await sizeOf(path),
  };
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

function textOf(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

/** Returns the preset whose architecture a model has, whatever its vocabulary. Fields that an older run lacks are completed. */
function presetOf(model: object): RunSummary["preset"] {
  const complete = (options: object) =>
    JSON.stringify(modelConfig({ ...options, vocabSize: 1 }));
  const names = Object.keys(presets) as PresetName[];
  try {
    const wanted = complete(model);
    return names.find((name) => complete(presets[name].model) === wanted) ??
      "custom";
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return "custom"; // a field that this version does not know
  }
}

/** Returns the state of a run that is not running, by the reason of its end; a run that recorded no end was killed and counts as stopped. */
function stateOf(reason: unknown): RunState {
  if (reason === "done") return "finished";
  return reason === "failed" ? "failed" : "stopped";
}

/** Returns true if a process holds the lock of an event file; undefined if the file does not exist. */
async function isLocked(metrics: string): Promise<boolean | undefined> {
  using file = await ifThere(metrics, Deno.open(metrics));
  return file && !await ifThere(metrics, file.tryLock(false));
}

/** Returns the bytes of the files in a directory; a file with two names counts once. */
async function sizeOf(path: string): Promise<number> {
  const entries = await ifThere(path, Array.fromAsync(Deno.readDir(path)));
  const seen = new Set<number>();
  let bytes = 0;
  for (const { name, isFile } of entries ?? []) {
    const file = join(path, name);
    const info = isFile ? await ifThere(file, Deno.stat(file)) : undefined;
    if (info === undefined || (info.ino && seen.has(info.ino))) continue;
    if (info.ino) seen.add(info.ino);
    bytes += info.size;
  }
  return bytes;
}
