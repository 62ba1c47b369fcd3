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

/** A product of matrices: y (M, N) of a and b, each stored transposed or not. */
export interface Product {
  readonly form: "nn" | "nt" | "tn";
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** The work of a peer. Each method prepares it and returns a function that does it and waits until it is done. */
export interface PeerWork {
  /** Prepares training; the function runs some steps and returns the last loss. */
  training(preset: string): Promise<(steps: number) => Promise<number>>;
  /** Prepares a model of `original`; the function continues `batch` rows by some tokens. */
  generation(batch: number): Promise<(tokens: number) => Promise<void>>;
  /** Prepares a product with random operands; the function computes it some times. */
  product(shape: Product): Promise<(times: number) => Promise<void>>;
}

/** Announces that the peer is ready, answers commands until the input ends, and ends the process. */
export async function serve(name: string, peer: PeerWork): Promise<never> {
  const works = worksOf(peer);
  say({ ready: true, name });
  let rest = "";
  for await (
    const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())
  ) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) say(await answer(line, works));
  }
  Deno.exit(); // workers and devices would keep the process
}

/** The items of work a peer can do. */
type Works = Readonly<
  Record<string, (command: Command) => Promise<Answer> | Answer>
>;

function worksOf(peer: PeerWork): Works {
  // Each is prepared and warmed up on first use.
  const trainings = new Map<string, Awaited<ReturnType<PeerWork["training"]>>>();
  const generations = new Map<
    string,
    Awaited<ReturnType<PeerWork["generation"]>>
  >();
  const products = new Map<string, Awaited<ReturnType<PeerWork["product"]>>>();
  return {
    memory: () => ({ peakMegabytes: peakMegabytes("self") }),
    step: async ({ preset = "original", steps = 3, warm = true }) => {
      const train = await lazily(trainings, preset, async () => {
        const made = await peer.training(preset);
        if (warm) await made(2);
        return made;
      });
      let loss = NaN;
      const milliseconds = await timed(async () => loss = await train(steps));
      return { milliseconds: milliseconds / steps, loss };
    },
    generate: async ({ batch = 1, tokens = 120 }) => {
      const write = await lazily(generations, String(batch), async () => {
        const made = await peer.generation(batch);
        await made(tokens);
        return made;
      });
      const milliseconds = await timed(() => write(tokens));
      return { tokensPerSecond: 1000 * batch * tokens / milliseconds };
    },
    matmul: async (command) => {
      const { form, M, N, K, repeats = 20 } = command as Required<Command>;
      const shape = { form, M, N, K };
      const run = await lazily(products, JSON.stringify(shape), async () => {
        const made = await peer.product(shape);
        await made(3);
        return made;
      });
      const milliseconds = await timed(() => run(repeats));
      return { gflops: 2 * M * N * K * repeats / milliseconds / 1e6 };
    },
  };
}

async function answer(line: string, works: Works): Promise<Answer> {
  try {
    const command = JSON.parse(line) as Command;
    const work = works[command.work];
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

/** Returns the most memory that a process ever had resident (Linux). */
export function peakMegabytes(pid: number | "self"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)![1]) / 1024;
}

/** Returns the milliseconds of a run. */
async function timed(run: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await run();
  return performance.now() - begun;
}

/** Returns the value of `key`, which is made on first use. */
async function lazily<T>(
  made: Map<string, T>,
  key: string,
  make: () => Promise<T>,
): Promise<T> {
  const value = made.get(key) ?? await make();
  made.set(key, value);
  return value;
}

/** Batches that a peer draws beforehand, so that drawing is not measured. */
export const BATCHES = 8;

/** Refuses a model of another size than the preset's, which every peer must have. */
export function checkParameters(preset: string, count: number): void {
  const expected =
    { "original": 826_240, "nano-cpu": 804_096 }[preset] ?? count;
  if (count !== expected) {
    throw new Error(`${count} parameters, not ${expected}`);
  }
}
