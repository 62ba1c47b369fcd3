/**
 * The earlier events and samples that a resumed run keeps: one line for each step, as if it
 * had never stopped.
 */

import { join } from "@std/path";
import type { TrainConfig } from "../../config/train.ts";
import { now, type Told } from "./board.ts";
import { LossPlot } from "../terminal/loss_plot.ts";
import { readEventLines } from "./events.ts";
import { files, type KeptEvents } from "./directory.ts";

/** The lines kept of the files that a run appends to. */
export interface RunHistory extends KeptEvents {
  /** Lines that are not kept as they hold no event. */
  readonly damagedLines: number;
  /** The losses that they hold. */
  readonly plot?: LossPlot;
  /** The lowest validation losses that they hold, by the number of tokens measured: others don't compare. */
  readonly lowest: ReadonlyMap<number, LowestLoss>;
  /** True if the kept events say that all steps were done, and with them everything that was due. */
  readonly complete: boolean;
}

/** The lowest of the validation losses that were measured on the same tokens. */
export interface LowestLoss {
  /** In nats per token; Infinity if all were no numbers. */
  readonly loss: number;
  /** Evaluations since then. */
  readonly evalsSince: number;
}

/** Returns the lowest loss after another evaluation of the same tokens. */
export function lowestAfter(
  lowest: LowestLoss | undefined,
  valLoss: unknown,
): LowestLoss {
  const { loss, evalsSince } = lowest ?? { loss: Infinity, evalsSince: 0 };
  return typeof valLoss === "number" && valLoss < loss
    ? { loss: valLoss, evalsSince: 0 }
    : { loss, evalsSince: evalsSince + 1 };
}

/**
 * Returns true if an evaluation replaces another as the run's best: it measured more tokens, or has the lower loss
 * on as many. Losses on different tokens do not compare.
 */
export function isBetter(
  evaluation: Evaluation,
  other: Evaluation | undefined,
): boolean {
  const tokens = ({ tokens }: Evaluation) =>
    typeof tokens === "number" ? tokens : 0;
  const loss = ({ valLoss }: Evaluation) =>
    Number.isFinite(valLoss) ? Number(valLoss) : Infinity;
  if (loss(evaluation) === Infinity) return false;
  if (other === undefined) return true;
  const more = tokens(evaluation) - tokens(other);
  return more > 0 || (more === 0 && loss(evaluation) < loss(other));
}

/** An evaluation's event as a file holds it. */
interface Evaluation {
  readonly event: string;
  readonly tokens?: unknown;
  readonly valLoss?: unknown;
}

/** The history of a new run, which is empty. */
export const nothingTold: RunHistory = {
  step: 0,
  keeps: () => false,
  damagedLines: 0,
  lowest: new Map(),
  complete: false,
};

/** The fields of an event that are read. */
interface Line {
  readonly event: string;
  readonly step: number;
  readonly reason?: string;
  readonly valLoss?: unknown; // null for a loss that is no number
  readonly tokens?: unknown;
}

/**
 * Reads the events of the run in `path` up to `step`, where its checkpoint is. Later steps are done
 * again, and so are an evaluation and a sample that are due at `step` itself: a run
 * can be killed after its checkpoint and before them. If it was killed before it emitted the
 * checkpoint's event, the event is added.
 */
export async function readHistory(
  path: string,
  step: number,
  { evalInterval, sampleInterval, maxSteps }: TrainConfig,
): Promise<RunHistory> {
  const last = step === maxSteps;
  const again = new Set<string>();
  if (last || isMultiple(step, evalInterval)) again.add("eval");
  if (last || isMultiple(step, sampleInterval)) again.add("sample");
  const keeps = (told: Told) =>
    told.step < step || (told.step === step && !again.has(told.event));
  const plot = new LossPlot();
  const lowest = new Map<number, LowestLoss>();
  let complete = false;
  let saved = false;
  let damagedLines = 0;
  const events = readEventLines(join(path, files.metrics), {
    onDamaged: () => damagedLines++,
  });
  for await (const { event } of events) {
    if (!keeps(event)) continue;
    plot.take(event);
    const told: Line = event;
    complete = told.event === "end" && told.reason === "done";
    saved ||= told.event === "checkpoint" && told.step === step;
    if (told.event === "eval") {
      const tokens = Number(told.tokens);
      lowest.set(tokens, lowestAfter(lowest.get(tokens), told.valLoss));
    }
  }
  const added = saved ? undefined : await checkpointEvent(path, step);
  return {
    step,
    keeps,
    added,
    damagedLines,
    plot,
    lowest,
    complete,
  };
}

/** Returns the event of the checkpoint that a run has just written. */
async function checkpointEvent(path: string, step: number): Promise<Told> {
  const file = join(path, files.checkpoint);
  const { size } = await Deno.stat(file);
  return {
    ...checkpointRecord({ step, path: file, bytes: size }),
    time: now(),
  };
}

/** Returns a checkpoint's event in `metrics.jsonl`: it has the file's path instead of its contents. */
export function checkpointRecord(
  { step, path, bytes }: {
    readonly step: number;
    readonly path: string;
    readonly bytes: number;
  },
): Told & { readonly path: string; readonly bytes: number } {
  return { event: "checkpoint", step, path, bytes };
}

function isMultiple(step: number, interval: number): boolean {
  return interval > 0 && step % interval === 0;
}
