/** The part of a run's files in which two runs of the same training must agree. */

import { join } from "@std/path";

/** The record of a run. */
export interface RunRecord {
  /** The events of `metrics.jsonl`, in order, without times, paths and processes. */
  readonly events: readonly string[];
  /** The file's text, if there is one. */
  readonly samples: string | undefined;
  readonly checkpoint: Uint8Array;
  /** The bytes, if there was an evaluation. */
  readonly best: Uint8Array | undefined;
  /** The reason why the run ended, from its last line. */
  readonly reason: unknown;
}

/** Fields that are never the same twice. */
const FLEETING = ["time", "tokensPerSecond", "seconds", "path"];

/**
 * Reads a run's record.
 *
 * @throws {SyntaxError} if a line is no JSON
 */
export async function readRunRecord(path: string): Promise<RunRecord> {
  const text = await Deno.readTextFile(join(path, "metrics.jsonl"));
  const lines = text.split("\n").filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  // A resumed run starts and ends more than once.
  const kept = lines.filter(({ event }) =>
    event !== "start" && event !== "end"
  );
  const read = <Value>(file: string, how: (path: string) => Promise<Value>) =>
    how(join(path, file)).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    });
  return {
    events: kept.map((line) =>
      JSON.stringify(
        line,
        (key, value) => FLEETING.includes(key) ? undefined : value,
      )
    ),
    samples: await read("samples.txt", Deno.readTextFile),
    checkpoint: await Deno.readFile(join(path, "checkpoint.safetensors")),
    best: await read("best.safetensors", Deno.readFile),
    reason: lines.at(-1)?.reason,
  };
}

/** Returns the differences of a run's record from the expected one; empty if they agree. */
export function differences(actual: RunRecord, expected: RunRecord): string[] {
  const found: string[] = [];
  const longest = Math.max(actual.events.length, expected.events.length);
  for (let i = 0; i < longest; i++) {
    if (actual.events[i] === expected.events[i]) continue;
    found.push(
      `event ${i + 1} is ${actual.events[i]}, not ${expected.events[i]}`,
    );
    break;
  }
  if (actual.samples !== expected.samples) found.push("samples.txt differs");
  for (const file of ["checkpoint", "best"] as const) {
    if (!isSame(actual[file], expected[file])) found.push(`${file} differs`);
  }
  if (actual.reason !== expected.reason) {
    found.push(`it ended as ${actual.reason}, not as ${expected.reason}`);
  }
  return found;
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a?.length === b?.length &&
    (a === undefined || a.every((byte, i) => byte === b![i]));
}
