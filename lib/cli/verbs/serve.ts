/** `serve`: listens on a socket and answers OpenAI's API with a trained model. */

import { textWork } from "../../checks/device_choice.ts";
import { basename, dirname } from "@std/path";
import { Model } from "../../model/model.ts";
import { RunningBatch } from "../../model/running_batch.ts";
import { Server } from "../../serve/server.ts";
import type { Arguments } from "../command/arguments.ts";
import { commandError, usageError } from "../command/errors.ts";
import { Interrupt } from "../terminal/interrupt.ts";
import { writeError } from "../terminal/terminal.ts";
import { deviceName } from "./device_name.ts";
import { placementFor } from "./placement.ts";
import { readTrainedModel, tokenizerOf } from "./trained_model.ts";
import type { ServeFlags } from "./flags.ts";

/** Longest time for texts to end after Ctrl-C, in milliseconds. */
const GRACE_MS = 30_000;

/** Answers requests until a signal; returns the exit code. */
export async function serve(
  { flags, operand }: Arguments<ServeFlags>,
): Promise<number> {
  using interrupt = new Interrupt();
  interrupt.doing = "finishing the texts under way";
  const { port = 8000, host: hostname = "127.0.0.1", token } = flags;
  const { rows = 8, queue = 64, maxTokens = 2048 } = flags;
  checkFlags(flags);
  const loopbackOnly = isLoopback(hostname);
  const trained = await readTrainedModel(operand, { best: flags.best });
  const tokenizer = tokenizerOf(trained);
  await using model = await Model.load(
    trained.checkpoint,
    await placementFor(textWork(trained.checkpoint), flags),
  );
  const generator = new RunningBatch(model, { rows });
  const name = nameOf(trained.path);
  const server = new Server({
    ...{ model: name, generator, tokenizer, queue, maxTokens, token },
    ...{ origins: flags.allowOrigin, loopbackOnly },
  });
  const where = deviceName(model.backend);
  const onListen = ({ port }: { readonly port: number }) => {
    const host = hostname.includes(":") ? `[${hostname}]` : hostname;
    writeError(
      `${trained.path} on ${where}\n${name} answers at http://${host}:${port}/v1\n`,
    );
  };
  const listener = listen({ hostname, port, onListen }, server);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    server.close();
    timer = setTimeout(() => server.abort(), GRACE_MS);
    void listener.shutdown();
  };
  if (interrupt.signal.aborted) stop();
  else interrupt.signal.addEventListener("abort", stop);
  await listener.finished;
  clearTimeout(timer);
  generator.destroy();
  return interrupt.exitCode;
}

function listen(
  options: Deno.ServeTcpOptions,
  server: Server,
): Deno.HttpServer<Deno.NetAddr> {
  const { hostname, port } = options;
  try {
    return Deno.serve(options, (request) => server.answer(request));
  } catch (error) {
    const action = `listen on ${hostname}, port ${port}`;
    if (error instanceof Deno.errors.AddrInUse) {
      const hint = "--port 0 takes a free port";
      throw commandError(action, "another program has the port", hint);
    }
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw commandError(action, (error as Error).message);
  }
}

function isLoopback(host: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|localhost|::1)$/i.test(host);
}

function checkFlags({ host, token, allowOrigin = [] }: Partial<ServeFlags>) {
  if (token === "") throw usageError("serve", "--token is an empty text");
  if (host !== undefined && !isLoopback(host) && token === undefined) {
    throw usageError(
      `listen on ${host}`,
      "other machines can reach it, and there is no --token",
    );
  }
  for (const origin of allowOrigin) {
    if (URL.parse(origin)?.origin === origin) continue;
    throw usageError(
      `allow ${origin}`,
      "it is not an origin",
      "an origin has a scheme, a host and maybe a port: http://localhost:3000",
    );
  }
}

/** Returns the name of a run, or of a file without its ending. */
function nameOf(path: string): string {
  const file = basename(path);
  const run = basename(dirname(path));
  const isOfRun = /^(checkpoint|best)\.safetensors$/.test(file);
  return isOfRun && !/^\.*$/.test(run)
    ? run
    : file.replace(/\.safetensors$/, "");
}
