/** Runs parts of a measurement one after another, each in a process of its own that ends in time. */

import { join } from "@std/path";

/** A part of a measurement: a command whose last line of output is JSON, `{ data, lines }`. */
export interface PartCommand {
  readonly name: string;
  /** Seconds that the command may take. */
  readonly seconds: number;
  readonly command: readonly [program: string, ...args: string[]];
  /** True if the parts after it make no sense without its success. */
  readonly essential?: boolean;
}

/** Result of a part. */
export interface PartResult {
  readonly name: string;
  readonly outcome: "ok" | "failed" | "late" | "left out";
  readonly seconds: number;
  readonly data: unknown;
  readonly lines: readonly string[];
}

/**
 * Runs the parts in order, and writes `NAME.json` and `NAME.log` of each to a directory as soon as it ends. A part that
 * fails or is late changes nothing for the others; when the time of all is over, the rest are left out.
 *
 * @param options.seconds time of all parts together
 */
export async function* runParts(
  parts: readonly PartCommand[],
  { out, seconds, goesOn = () => true }: {
    readonly out: string;
    readonly seconds: number;
    /** Called with an essential part's result; false ends the measurement. */
    readonly goesOn?: (result: PartResult) => boolean;
  },
): AsyncGenerator<PartResult> {
  const end = performance.now() + 1000 * seconds;
  await Deno.mkdir(out, { recursive: true });
  let isOver = false;
  for (const part of parts) {
    const left = (end - performance.now()) / 1000;
    const result: PartResult = isOver || left < 1
      ? leftOut(part)
      : await run(part, Math.min(part.seconds, left), out);
    const json = JSON.stringify(result, null, 1);
    await Deno.writeTextFile(join(out, `${part.name}.json`), `${json}\n`);
    if (part.essential && !isOver) {
      isOver = result.outcome !== "ok" || !goesOn(result);
    }
    yield result;
  }
}

function leftOut({ name }: PartCommand): PartResult {
  return { name, outcome: "left out", seconds: 0, data: null, lines: [] };
}

async function run(
  { name, command: [program, ...args] }: PartCommand,
  seconds: number,
  out: string,
): Promise<PartResult> {
  const begun = performance.now();
  const late = AbortSignal.timeout(1000 * seconds);
  let outcome: PartResult["outcome"] = "failed";
  let [stdout, log] = ["", ""];
  try {
    const child = new Deno.Command(program, {
      ...{ args, stdin: "null", stdout: "piped", stderr: "piped" },
      signal: late,
    }).spawn();
    const output = await child.output();
    const decoder = new TextDecoder();
    stdout = decoder.decode(output.stdout);
    log = decoder.decode(output.stderr);
    outcome = late.aborted ? "late" : output.success ? "ok" : "failed";
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    log = error.message;
  }
  await Deno.writeTextFile(join(out, `${name}.log`), `${log}\n${stdout}`);
  const measured = parsed(stdout);
  if (measured === undefined && outcome === "ok") outcome = "failed";
  return {
    ...{ name, outcome, seconds: (performance.now() - begun) / 1000 },
    data: measured?.data ?? null,
    lines: measured?.lines ?? log.trim().split("\n").slice(-3),
  };
}

/** Returns what the last line of the output says; undefined if it is not JSON of a part. */
function parsed(
  stdout: string,
): { data: unknown; lines: string[] } | undefined {
  const last = stdout.trim().split("\n").at(-1)!;
  try {
    const value = JSON.parse(last);
    return Array.isArray(value?.lines) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
