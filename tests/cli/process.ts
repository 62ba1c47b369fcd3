/** Running the program as a user does, in a directory of its own, on the reference backend. */

import { fromFileUrl, join } from "@std/path";

/** The program's file. */
export const cli: string = fromFileUrl(
  new URL("../../cli.ts", import.meta.url),
);

/** How a process ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where and how to run. */
export interface RunOptions {
  readonly cwd: string;
  readonly env?: Record<string, string>;
  /** Options of `deno run`, such as `--deny-net=...`. */
  readonly permissions?: readonly string[];
}

/** The program as a command, with its output piped. */
export function command(
  args: readonly string[],
  { cwd, env = {}, permissions = [] }: RunOptions,
): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", ...permissions, cli, ...args],
    cwd,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs the program to its end. */
export async function run(
  args: readonly string[],
  options: RunOptions,
): Promise<Outcome> {
  const output = await command(args, options).output();
  return {
    code: output.code,
    stdout: new TextDecoder().decode(output.stdout),
    stderr: new TextDecoder().decode(output.stderr),
  };
}

/** A directory that goes away with the test, holding `text.txt`. */
export class Workplace implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(): Promise<Workplace> {
    const workplace = new Workplace(await Deno.makeTempDir({ prefix: "lm-" }));
    await workplace.write("text.txt", TEXT);
    return workplace;
  }

  /** Runs the program here. */
  run(
    args: readonly string[],
    options: Omit<RunOptions, "cwd"> = {},
  ): Promise<Outcome> {
    return run(args, { cwd: this.path, ...options });
  }

  file(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  async write(name: string, content: string | Uint8Array): Promise<void> {
    const bytes = typeof content === "string"
      ? new TextEncoder().encode(content)
      : content;
    await Deno.writeFile(this.file(name), bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** 2,400 characters, 15 different ones, none of them a capital. */
export const TEXT: string = "the cat sat on the mat\nand that was that.\n"
  .padEnd(48, "so it is\n").repeat(50);

/** Flags of the smallest training that does everything: 12 steps in well under a second. */
export const SMALL: readonly string[] = [
  ..."--preset tiny --device reference --data text.txt".split(" "),
  ..."--n-layer 1 --n-head 1 --n-embd 8 --block-size 8 --batch-size 2"
    .split(" "),
  ..."--steps 12 --eval-interval 6 --sample-interval 6 --checkpoint-interval 6"
    .split(" "),
];
