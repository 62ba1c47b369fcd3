/**
 * The earlier events and samples that a resumed run keeps: one line for each step, as if it
 * had never stopped.
 */

import { join } from "@std/path";
import type { TrainConfig } from "../../config/train.ts";
import { LossPlot } from "../terminal/loss_plot.ts";
import { type LoggedEvent, now, readEventLines } from "./events.ts";
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
  evaluation: LoggedEvent,
  other: LoggedEvent | undefined,
): boolean {
  const tokens = ({ tokens }: LoggedEvent) =>
    typeof tokens === "number" ? tokens : 0;
  const loss = ({ valLoss }: LoggedEvent) =>
    Number.isFinite(valLoss) ? Number(valLoss) : Infinity;
  if (loss(evaluation) === Infinity) return false;
  if (other === undefined) return true;
  const more = tokens(evaluation) - tokens(other);
  return more > 0 || (more === 0 && loss(evaluation) < loss(other));
}

/** The history of a new run, which is empty. */
export const noHistory: RunHistory = {
  step: 0,
  keeps: () => false,
  damagedLines: 0,
  lowest: new Map(),
  complete: false,
};

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
  const keeps = (event: LoggedEvent) =>
    event.step < step || (event.step === step && !again.has(event.event));
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
    complete = event.event === "end" && event.reason === "done";
    saved ||= event.event === "checkpoint" && event.step === step;
    if (event.event === "eval") {
      const tokens = Number(event.tokens);
      lowest.set(tokens, lowestAfter(lowest.get(tokens), event.valLoss));
    }
  }
  const file = join(path, files.checkpoint);
  const added = saved ? undefined : {
    ...checkpointEvent(step, file, (await Deno.stat(file)).size),
    time: now(),
  };
  return { step, keeps, added, damagedLines, plot, lowest, complete };
}

/** Returns a checkpoint's event in `metrics.jsonl`: it has the file's path instead of its contents. */
export function checkpointEvent(
  step: number,
  path: string,
  bytes: number,
): LoggedEvent {
  return { event: "checkpoint", step, path, bytes };
}

function isMultiple(step: number, interval: number): boolean {
  return interval > 0 && step % interval === 0;
}
