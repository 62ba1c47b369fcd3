/** The events in `metrics.jsonl`; every reader of a run's events uses this module. */

import type { TrainEvent } from "../../train/events.ts";
import { readLineGroups } from "./files.ts";

/** An event as `metrics.jsonl` has it: JSON has no NaN, so numbers may be null. */
export interface LoggedEvent {
  /** The kind of event. */
  readonly event: string;
  readonly step: number;
  /** The time of the event: Unix time in seconds. */
  readonly time?: number;
  readonly [field: string]: unknown;
}

/** A training event in `metrics.jsonl`, where its `kind` has the key `event`. */
export type Logged<Event extends TrainEvent> = Event extends TrainEvent
  ? Omit<Event, "kind"> & { readonly event: Event["kind"] }
  : never;

/** Returns an event as `metrics.jsonl` has it. */
export function logged<Event extends TrainEvent>(
  { kind, ...fields }: Event,
): Logged<Event> {
  return { event: kind, ...fields } as unknown as Logged<Event>;
}

/** Returns the Unix time in seconds, to the millisecond. */
export function now(): number {
  return Date.now() / 1000;
}

/** The beginning of the line of a step, as `train` writes it. */
const STEP = '{"event":"step",';

/**
 * Yields the events of a file, each with its line, however long the file is; nothing if there is no such file.
 * Lines that hold no event are left out: a crash or a full disk cut them short, or someone edited them.
 *
 * @param options.lastStep leaves out all steps but the last, which comes after all else: steps are
 * nearly all of a long file, and reading them takes four fifths of the time
 * @param options.onDamaged called for each line that holds no event and is not empty
 * @throws {CommandError} if the file exists but cannot be read
 */
export async function* readEventLines(
  file: string,
  { lastStep = false, onDamaged }: {
    readonly lastStep?: boolean;
    readonly onDamaged?: () => void;
  } = {},
): AsyncGenerator<{ readonly line: string; readonly event: LoggedEvent }> {
  let step: string | undefined;
  for await (const lines of readLineGroups(file)) {
    for (const line of lines) {
      if (lastStep && line?.startsWith(STEP) && line.endsWith("}")) {
        step = line;
        continue;
      }
      const event = line && parsed(line);
      if (event) yield { line, event };
      else if (line !== "") onDamaged?.();
    }
  }
  const event = step && parsed(step);
  if (event) yield { line: step!, event };
}

function parsed(line: string): LoggedEvent | undefined {
  try {
    const value = JSON.parse(line);
    const { event, step, prompt = "", text = "" } = value ?? {};
    const isEvent = typeof event === "string" && Number.isSafeInteger(step) &&
      typeof prompt === "string" && typeof text === "string";
    return isEvent ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
