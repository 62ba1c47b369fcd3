/** A small study for rehearsals of schedulers, and the check that it ran as if on one machine. */

import { assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";

const root = fromFileUrl(new URL("../", import.meta.url));

/** Shards of the study. */
export const SHARDS = 4;

/** Two trials for each shard. */
const plan = {
  study: "A rehearsal",
  about: "Whether a scheduler runs each trial once.",
  data: "text.txt",
  tokenizer: "chars",
  base: {
    model: { nLayer: 2, nHead: 2, nEmbd: 32, blockSize: 32 },
    train: { maxSteps: 600, batchSize: 8 },
  },
  seeds: [1, 2, 3, 4],
  cells: [{ name: "base" }, { name: "wide", model: { nEmbd: 48 } }],
};

/** A directory with a study, a text, and the command `lm`. */
export class Rehearsal implements AsyncDisposable {
  /** Directory of all files; the study is its subdirectory `study`. */
  readonly path: string;
  /** Environment in which `lm` is this project. */
  readonly env: Readonly<Record<string, string>>;

  private constructor(path: string) {
    this.path = path;
    const PATH = `${join(path, "bin")}:${Deno.env.get("PATH")}`;
    this.env = { ...Deno.env.toObject(), PATH, NO_COLOR: "1" };
  }

  static async create(): Promise<Rehearsal> {
    const place = new Rehearsal(await Deno.makeTempDir({ prefix: "lm-" }));
    for (const folder of ["bin", "study", "alone"]) {
      await Deno.mkdir(join(place.path, folder));
    }
    const lm =
      `#!/bin/sh\nexec "${Deno.execPath()}" run -A "${root}cli.ts" "$@"\n`;
    await Deno.writeTextFile(join(place.path, "bin/lm"), lm, { mode: 0o755 });
    const text = "the cat sat on the mat, and that was that.\n".repeat(200);
    await Deno.writeTextFile(join(place.path, "text.txt"), text);
    for (const folder of ["study", "alone"]) {
      const file = join(place.path, folder, "plan.json");
      await Deno.writeTextFile(file, JSON.stringify(plan));
    }
    return place;
  }

  /** Runs a command in the directory; returns its output. */
  async run(command: string, ...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await new Deno.Command(command, {
      ...{ args: [...args], cwd: this.path, env: this.env, stdin: "null" },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    if (code === 0) return text(stdout);
    throw new Error(
      `${command} ${args.join(" ")} ended with ${code}: ${text(stderr)}${
        text(stdout)
      }`,
    );
  }

  /** Returns the names of the files with outcomes. */
  async outcomes(): Promise<string[]> {
    const entries = await Array.fromAsync(
      Deno.readDir(join(this.path, "study/trials")),
    );
    return entries.map(({ name }) => name).toSorted();
  }

  /** Compares the losses with those of one process alone; throws if they differ. */
  async check(): Promise<void> {
    await this.run(
      "lm",
      ..."lab run alone --device wasm --threads 1".split(" "),
    );
    const losses = async (study: string) => {
      await this.run("lm", "lab", "merge", study);
      const file = join(this.path, study, "trials.jsonl");
      const lines = (await Deno.readTextFile(file)).trimEnd().split("\n");
      return lines.map((line) => {
        const { id, valLoss } = JSON.parse(line);
        return `${id} ${valLoss}`;
      });
    };
    const alone = await losses("alone");
    assertEquals(alone.length, plan.seeds.length * plan.cells.length);
    assertEquals(await losses("study"), alone);
    console.log(`${alone.length} trials, each with the loss that it has alone`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** A daemon that ends with its scope. */
export class Daemon implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<string>;

  constructor(
    command: string,
    args: readonly string[],
    env: Record<string, string> = {},
  ) {
    this.#child = new Deno.Command(command, {
      ...{ args: [...args], env, stdin: "null", stdout: "null" },
      stderr: "piped",
    }).spawn();
    this.#output = new Response(this.#child.stderr).text();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // It has ended.
    }
    await this.#child.status;
    await this.#output;
  }
}

/** Waits until something is true; throws after some seconds. */
export async function until(
  what: string,
  seconds: number,
  isTrue: () => Promise<boolean>,
): Promise<void> {
  const end = performance.now() + 1000 * seconds;
  while (!await isTrue()) {
    if (performance.now() > end) {
      throw new Error(`Waited ${seconds} s until ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
