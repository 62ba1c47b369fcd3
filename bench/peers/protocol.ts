/**
 * The protocol of a peer written in TypeScript: one JSON command a line
 * on standard input, one JSON answer a line on standard output, idle otherwise.
 */

import { readFileSync } from "node:fs";

/** A command. `work` names the item of work; the other fields are that item's options. */
export interface Command {
  readonly work: string;
  readonly preset?: string;
  readonly steps?: number;
  /** false: measure the very first run, as the start of a process needs. */
  readonly warm?: boolean;
  readonly batch?: number;
  readonly tokens?: number;
  readonly form?: "nn" | "nt" | "tn";
  readonly M?: number;
  readonly N?: number;
  readonly K?: number;
  readonly repeats?: number;
}

/** Measured numbers by name; or an error. */
export type Answer = Readonly<Record<string, number | string | boolean>>;

/** The items of work a peer can do. */
export type Works = Readonly<
  Record<string, (command: Command) => Promise<Answer> | Answer>
>;

/** Announces that the peer is ready, then answers commands until the input ends. */
export async function serve(name: string, works: Works): Promise<void> {
  say({ ready: true, name });
  let rest = "";
  for await (
    const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())
  ) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) say(await answer(line, works));
  }
}

async function answer(line: string, works: Works): Promise<Answer> {
  try {
    const command = JSON.parse(line) as Command;
    const all: Works = { memory, ...works };
    const work = all[command.work];
    if (work === undefined) return { error: `no such work: ${command.work}` };
    return await work(command);
  } catch (error) {
    return { error: String(error) };
  }
}

function say(answer: Answer): void {
  const line = new TextEncoder().encode(JSON.stringify(answer) + "\n");
  for (let at = 0; at < line.length;) {
    at += Deno.stdout.writeSync(line.subarray(at));
  }
}

/** Returns the most memory that was ever resident. */
function memory(): Answer {
  return { peakMegabytes: peakMegabytes("self") };
}

/** Returns the most memory that a process ever had resident (Linux). */
export function peakMegabytes(pid: number | "self"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)![1]) / 1024;
}

/** Returns the mean milliseconds of a run over `times` runs, each awaited. */
export async function timed(
  times: number,
  run: () => Promise<void> | void,
): Promise<number> {
  const begun = performance.now();
  for (let i = 0; i < times; i++) await run();
  return (performance.now() - begun) / times;
}

/** Returns the value of `key`, which is made on first use. */
export async function lazily<T>(
  made: Map<string, T>,
  key: string,
  make: () => Promise<T>,
): Promise<T> {
  const known = made.get(key);
  if (known !== undefined) return known;
  const value = await make();
  made.set(key, value);
  return value;
}
