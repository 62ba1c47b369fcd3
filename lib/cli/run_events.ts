/** The one reader of `metrics.jsonl`, for all that need a run's events. */

import type { Told } from "./board.ts";
import { readLines } from "./files.ts";

/** An event and its line. */
export interface EventLine {
  readonly line: string;
  readonly event: Told & Readonly<Record<string, unknown>>;
}

/**
 * Yields the events of a file line by line, however long it is; nothing if there is no such file.
 * Lines that hold no event are left out: a crash or a full disk cut them short, or someone edited them.
 *
 * @throws {CommandError} if the file is there and cannot be read
 */
export async function* readEventLines(
  file: string,
): AsyncGenerator<EventLine> {
  for await (const line of readLines(file)) {
    if (line === undefined) continue;
    const event = parsed(line);
    if (event !== undefined) yield { line, event };
  }
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
