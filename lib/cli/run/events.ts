/** Reads `metrics.jsonl`; every reader of a run's events uses this module. */

import type { Told } from "./board.ts";
import { readLineGroups } from "./files.ts";

/** An event and its line. */
export interface EventLine {
  readonly line: string;
  readonly event: Told & Readonly<Record<string, unknown>>;
}

/** The beginning of the line of a step, as `train` writes it. */
const STEP = '{"event":"step",';

/**
 * Yields the events of a file line by line, however long it is; nothing if there is no such file.
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
): AsyncGenerator<EventLine> {
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

function parsed(line: string): EventLine["event"] | undefined {
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
