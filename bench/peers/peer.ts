/** Starts peers and asks them for measurements. */

import { fromFileUrl } from "@std/path";
import type { Answer, Command } from "./protocol.ts";

/** Flags of the driver that say how peers are started. */
export interface PeerOptions {
  readonly device: string;
  readonly threads: string;
  readonly python: string;
}

const here = (file: string) => fromFileUrl(new URL(file, import.meta.url));

const deno = (file: string, ...args: string[]) => [
  Deno.execPath(),
  "run",
  "-A",
  "--quiet",
  "--no-check",
  here(file),
  ...args,
];

/** The command line of each peer. */
export const commands: Readonly<
  Record<string, (options: PeerOptions) => string[]>
> = {
  lm: ({ device, threads }) =>
    deno("lm.ts", "--device", device, "--threads", threads),
  // The engine's own products.
  "lm-own": ({ device, threads }) => [
    ...deno("lm.ts", "--device", device, "--threads", threads),
    ...["--blas", "off"],
  ],
  "lm-1": ({ device }) => deno("lm.ts", "--device", device, "--threads", "1"),
  "lm-webgpu": () => deno("lm.ts", "--device", "webgpu"),
  torch: ({ python, threads }) => [
    ...[python, here("torch_peer.py"), "--threads", threads],
    ...["--blas-threads", "1"],
  ],
  // OpenBLAS's own threads instead; the faster choice depends on the machine.
  "torch-blas": ({ python, threads }) => [
    ...[python, here("torch_peer.py"), "--threads", "1"],
    ...["--blas-threads", threads],
  ],
  jax: () => deno("npm/jax.ts"),
  "jax-webgpu": () => deno("npm/jax.ts", "webgpu"),
  tfjs: () => deno("npm/tfjs.ts"),
};

/**
 * Returns the command line of a peer; undefined if there is none of that name. A name `lm@DIRECTORY` is `lm` of another
 * checkout, to compare versions in turns. `torch+SkylakeX` is `torch` with those kernels of OpenBLAS, which the library does not
 * choose by itself on a processor that is newer than it.
 */
export function commandOf(
  name: string,
  options: PeerOptions,
): string[] | undefined {
  const [, peer, core] = /^(torch.*)\+(\w+)$/.exec(name) ?? [];
  if (peer !== undefined) {
    return commands[peer]?.(options).concat("--blas-core", core!);
  }
  const directory = /^lm@(.+)$/.exec(name)?.[1];
  if (directory === undefined) return commands[name]?.(options);
  const own = here("lm.ts");
  return commands["lm"]!(options)
    .map((arg) => arg === own ? `${directory}/bench/peers/lm.ts` : arg);
}

/**
 * Returns the environment without the variables that choose OpenBLAS's kernels, caches and threads, so that a
 * library decides as it does for its users.
 */
function plainEnvironment(): Record<string, string> {
  const chosen = /^(OPENBLAS|GOTO|OMP|MKL)_/;
  return Object.fromEntries(
    Object.entries(Deno.env.toObject()).filter(([name]) => !chosen.test(name)),
  );
}

/** A running peer. */
export class Peer {
  readonly #child: Deno.ChildProcess;
  readonly #lines: AsyncIterator<Answer>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #complaint: Promise<string>;
  /** The name by which the peer calls itself, once it is ready. */
  title = "";

  constructor(command: readonly string[]) {
    const [program, ...args] = command;
    this.#child = new Deno.Command(program!, {
      args,
      clearEnv: true,
      env: { ...plainEnvironment(), NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#complaint = new Response(this.#child.stderr).text();
    this.#lines = answers(this.#child.stdout);
    this.#input = this.#child.stdin.getWriter();
  }

  /** Waits until the peer says that it is ready. */
  async ready(): Promise<void> {
    const { name, error } = await this.#next();
    this.title = String(name ?? error);
  }

  /** Returns one answer, with an `error` if the peer cannot do the work or has ended. */
  async ask(command: Command): Promise<Answer> {
    const line = new TextEncoder().encode(JSON.stringify(command) + "\n");
    try {
      await this.#input.write(line);
    } catch {
      return await this.#ended();
    }
    return await this.#next();
  }

  async #next(): Promise<Answer> {
    const { done, value } = await this.#lines.next();
    return done ? await this.#ended() : value;
  }

  /** Returns the reason why there is no answer, from the process's standard error. */
  async #ended(): Promise<Answer> {
    const lines = (await this.#complaint).split("\n");
    const said = lines.find((line) => /error/i.test(line)) ?? "nothing";
    return { error: `the process has ended, saying: ${said}` };
  }

  /** Ends the process. */
  async stop(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // The process has ended already.
    }
    await this.#child.status;
    await this.#complaint;
    await this.#input.abort().catch(() => {});
  }
}

/** Yields the JSON objects on the lines of a stream; other lines, such as greetings of libraries, are skipped. */
export async function* answers(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<Answer, void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (line.startsWith("{")) yield JSON.parse(line) as Answer;
    }
  }
}
