/** The record of a run, read from its directory: its configuration and its events, ready to be drawn. */

import { basename, join, resolve } from "@std/path";
import type {
  EvalEvent,
  SampleEvent,
  SkipEvent,
  StepEvent,
  UpdateEvent,
} from "../../train/events.ts";
import { corpusName as nameOf, corpusRecord } from "../text/corpus.ts";
import { commandError, reasonOf } from "../command/errors.ts";
import { program } from "../command/program.ts";
import { type Logged, readEventLines } from "../run/events.ts";
import { isBetter } from "../run/history.ts";
import { files, readRunConfig } from "../run/directory.ts";
import { givenOrNewest } from "../run/folder.ts";
import { isForeign, runRemedy } from "../run/remedy.ts";

/** Named values, as in `config.json`. */
export type Fields = Readonly<Record<string, unknown>>;

/** The reason why a run ended. */
export interface RunEnd {
  readonly reason: string;
  /** The error message of a run that failed. */
  readonly message?: string;
  /** The reason why a run stopped by itself. */
  readonly why?: string;
}

/** A run's configuration and events. */
export interface RunRecord {
  readonly path: string;
  /** The name of its directory. */
  readonly name: string;
  /** The arguments that the run began with. */
  readonly command: readonly string[];
  /** The steps at which the run was resumed. */
  readonly resumedAt: readonly number[];
  /** The time at which the run began, in ISO 8601. */
  readonly began: string | undefined;
  readonly versions: Fields;
  /** `imported` of `config.json`: the origin of an imported run; empty if the run began here. */
  readonly imported: Fields;
  readonly device: Fields;
  readonly parameters: number | undefined;
  readonly model: Fields;
  readonly train: Fields;
  readonly data: Fields;
  readonly tokenizer: Fields;
  readonly steps: readonly Logged<StepEvent>[];
  readonly evals: readonly Logged<EvalEvent>[];
  readonly updates: readonly Logged<UpdateEvent>[];
  readonly samples: readonly Logged<SampleEvent>[];
  /** Steps that were skipped because they were not finite. */
  readonly skips: readonly Logged<SkipEvent>[];
  /** The run's end; undefined if it was not recorded. */
  readonly end: RunEnd | undefined;
  /** Wall time of all the run's parts, evaluations included. */
  readonly seconds: number;
}

/**
 * Reads a run.
 *
 * @param given its directory; the newest run if left out
 * @throws {CommandError} if there is none
 */
export async function readRun(given: string | undefined): Promise<RunRecord> {
  const path = await givenOrNewest(given);
  const config = await readConfig(path);
  const events: Fields[] = [];
  // Lines that a crash or a full disk cut short are left out.
  for await (const { event } of readEventLines(join(path, files.metrics))) {
    events.push(event);
  }
  const of = <Event>(kind: string, ...numbers: string[]) =>
    events.filter((event) =>
      event["event"] === kind &&
      numbers.every((field) => Number.isFinite(event[field]))
    ) as unknown as Event[];
  const last = events.findLast(({ event }) =>
    event === "start" || event === "end"
  );
  return {
    path,
    name: basename(resolve(path)),
    command: Array.isArray(config["command"]) ? config["command"] : [],
    resumedAt: Array.isArray(config["resumed"])
      ? config["resumed"].map(({ step }) => Number(step))
      : [],
    began: typeof config["began"] === "string" ? config["began"] : undefined,
    versions: fieldsOf(config["versions"]),
    imported: fieldsOf(config["imported"]),
    device: fieldsOf(config["device"]),
    parameters: typeof config["parameters"] === "number"
      ? config["parameters"]
      : undefined,
    model: fieldsOf(config["model"]),
    train: fieldsOf(config["train"]),
    data: fieldsOf(config["data"]),
    tokenizer: fieldsOf(config["tokenizer"]),
    steps: of<Logged<StepEvent>>("step", "loss", "gradNorm", "learningRate"),
    evals: of<Logged<EvalEvent>>("eval", "trainLoss", "valLoss"),
    updates: of<Logged<UpdateEvent>>("update"),
    samples: of<Logged<SampleEvent>>("sample"),
    skips: of<Logged<SkipEvent>>("skip"),
    end: last?.["event"] === "end" ? last as unknown as RunEnd : undefined,
    seconds: wallTime(events),
  };
}

/** Returns the last step that is known to be done. */
export function lastStep({ steps, evals, skips }: RunRecord): number {
  return Math.max(
    ...[steps, evals, skips].map((events) => events.at(-1)?.step ?? 0),
  );
}

/** Returns the tokens that a step trains on; 0 if the configuration does not say. */
export function tokensPerStep({ model, train }: RunRecord): number {
  const tokens = Number(model["blockSize"]) * Number(train["batchSize"]) *
    Number(train["gradAccumulation"] ?? 1);
  return Number.isFinite(tokens) ? tokens : 0;
}

/** Returns the evaluation with the lowest validation loss among those that measured most. */
export function bestEval({ evals }: RunRecord): Logged<EvalEvent> | undefined {
  return evals.reduce(
    (best: Logged<EvalEvent> | undefined, event) =>
      isBetter(event, best) ? event : best,
    undefined,
  );
}

/** Returns the name of a run's text. */
export function corpusName({ data }: RunRecord): string {
  const record = corpusRecord(data);
  return record === undefined ? "an unknown text" : basename(nameOf(record));
}

async function readConfig(path: string): Promise<Fields> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (error) {
    throw commandError(`read ${path}`, reasonOf(error), await runRemedy(path));
  }
  const config = info.isDirectory ? await readRunConfig(path) : undefined;
  if (config !== undefined && !await isForeign(path)) return config;
  throw commandError(
    `report on ${path}`,
    info.isDirectory && config === undefined
      ? `it has no ${files.config} that can be read`
      : "it is not the directory of a run",
    await runRemedy(
      path,
      `expected a directory that ${program()} train made`,
    ),
  );
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? value as Fields : {};
}

/** Sums the time from each start to the last event before the next start. */
function wallTime(events: readonly Fields[]): number {
  let total = 0;
  let begun: number | undefined;
  let last = 0;
  for (const { event, time, seconds } of events) {
    if (event === "end" && typeof seconds === "number" && begun === undefined) {
      total += seconds; // from before events had a time
    }
    if (typeof time !== "number") continue;
    if (event === "start" || begun === undefined) {
      total += begun === undefined ? 0 : last - begun;
      begun = time;
    }
    last = time;
  }
  return total + (begun === undefined ? 0 : last - begun);
}
