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

/** Milliseconds that a part may take to end after it was killed. */
const GRACE_MS = 1000;

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
  let outcome: PartResult["outcome"] = "failed";
  const text = { stdout: "", stderr: "" };
  const late = new AbortController();
  try {
    const child = new Deno.Command(program, {
      ...{ args, stdin: "null", stdout: "piped", stderr: "piped" },
      env: { NO_COLOR: "1" },
    }).spawn();
    const { signal } = late;
    const collect = async (name: keyof typeof text) => {
      const decoder = new TextDecoderStream();
      const pieces = child[name].pipeThrough(decoder, { signal });
      for await (const piece of pieces) text[name] += piece;
    };
    const collected = [collect("stdout"), collect("stderr")];
    // A part that hangs in a driver hears no other signal, or none; and its own children may hold its output.
    const giveUp = () => late.abort();
    let isLate = false;
    let timer = setTimeout(() => {
      isLate = true;
      timer = setTimeout(giveUp, GRACE_MS);
      void child.status.then(giveUp);
      try {
        child.kill("SIGKILL");
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // it has ended
      }
    }, 1000 * seconds);
    await Promise.allSettled(collected);
    if (isLate) child.unref();
    outcome = isLate ? "late" : (await child.status).success ? "ok" : "failed";
    clearTimeout(timer);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    text.stderr = error.message;
  }
  const { stdout, stderr: log } = text;
  await Deno.writeTextFile(join(out, `${name}.log`), `${log}\n${stdout}`);
  const measured = parsed(stdout);
  if (measured === undefined && outcome === "ok") outcome = "failed";
  return {
    ...{ name, outcome, seconds: (performance.now() - begun) / 1000 },
    data: measured?.data ?? null,
    lines: measured?.lines ?? errorOf(log),
  };
}

/** Returns the lines of an error without its stack, or the last lines where there is no error. */
function errorOf(log: string): string[] {
  const lines = log.trim().split("\n");
  const errors = lines.filter((line) => /^(error|\w*Error): /.test(line));
  return (errors.length > 0 ? errors : lines).slice(-3);
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
