/**
 * What a run that goes on keeps of what it told before: of each step one line, as if it
 * had never stopped.
 */

import { join } from "@std/path";
import type { TrainConfig } from "../config.ts";
import { files } from "./run_directory.ts";

/** What is kept of the files that a run adds to. */
export interface RunHistory {
  /** The step that the run goes on from. */
  readonly step: number;
  /** Of `metrics.jsonl`. */
  readonly lines: readonly string[];
  /** What the lines tell of samples. */
  readonly samples: readonly { readonly step: number; readonly text: string }[];
  /** The lowest validation loss that the lines tell; Infinity if they tell none. */
  readonly bestValLoss: number;
}

/** What is looked at of an event. */
interface Line {
  readonly event: string;
  readonly step: number;
  readonly valLoss?: number | null;
  readonly prompt?: string;
  readonly text?: string;
}

/**
 * Reads what the run in `path` told up to `step`, where its checkpoint is. Later steps are done
 * again, and so are an evaluation and a sample that are due at `step` itself: a run
 * can be killed after its checkpoint and before them.
 */
export async function readHistory(
  path: string,
  step: number,
  { evalInterval, sampleInterval }: TrainConfig,
): Promise<RunHistory> {
  const again = new Set<string>();
  if (isMultiple(step, evalInterval)) again.add("eval");
  if (isMultiple(step, sampleInterval)) again.add("sample");
  const text = await Deno.readTextFile(join(path, files.metrics))
    .catch(() => "");
  const lines: string[] = [];
  const samples: { step: number; text: string }[] = [];
  let bestValLoss = Infinity;
  for (const line of text.split("\n")) {
    const told = parsed(line);
    if (told === undefined || told.step > step) continue;
    if (told.step === step && again.has(told.event)) continue;
    lines.push(line);
    if (told.event === "eval") {
      bestValLoss = Math.min(bestValLoss, told.valLoss ?? Infinity);
    } else if (told.event === "sample") {
      samples.push({
        step: told.step,
        text: `${told.prompt ?? ""}${told.text ?? ""}`,
      });
    }
  }
  return { step, lines, samples, bestValLoss };
}

function isMultiple(step: number, interval: number): boolean {
  return interval > 0 && step % interval === 0;
}

/** An event; undefined for a line that a crash or a full disk cut short. */
function parsed(line: string): Line | undefined {
  try {
    const event = JSON.parse(line);
    return typeof event?.step === "number" ? event : undefined;
  } catch {
    return undefined;
  }
}
