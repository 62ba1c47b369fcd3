/** A server with a random model, asked without a socket. */

import { assert, assertEquals } from "@std/assert";
import { generateText, Model, Sampler, Tokenizer } from "../../mod.ts";
import { makeGeneric } from "../../lib/checks/variants.ts";
import { RunningBatch } from "../../lib/model/running_batch.ts";
import { Server, type ServerOptions } from "../../lib/serve/server.ts";

export const tokenizer: Tokenizer = Tokenizer.chars("the cat sat on a mat.\n");

/** A server with a random model, and functions that ask it. */
export class Site implements AsyncDisposable {
  readonly model: Model;
  readonly batch: RunningBatch;
  readonly server: Server;

  constructor(model: Model, options: Partial<ServerOptions>) {
    this.model = model;
    this.batch = new RunningBatch(model, { rows: 3 });
    this.server = new Server({
      models: [{ name: "cat", model, generator: this.batch, tokenizer }],
      ...{ queue: 5, maxTokens: 100, loopbackOnly: true, ...options },
    });
  }

  static async open(options: Partial<ServerOptions> = {}): Promise<Site> {
    const { vocabSize } = tokenizer;
    const model = await Model.create(
      { vocabSize, blockSize: 16, nLayer: 1, nHead: 1, nEmbd: 8 },
      { device: "reference", tokenizer },
    );
    await makeGeneric(model); // Fresh weights hardly look at what came before.
    return new Site(model, options);
  }

  ask(path: string, init: RequestInit = {}): Promise<Response> {
    return this.server.answer(new Request(`http://127.0.0.1:1${path}`, init));
  }

  post(path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    return this.ask(path, { method: "POST", body: text, ...init });
  }

  // deno-lint-ignore no-explicit-any
  async complete(body: unknown): Promise<any> {
    const response = await this.post("/v1/completions", body);
    assertEquals(response.status, 200);
    return await response.json();
  }

  // deno-lint-ignore no-explicit-any
  async stream(path: string, body: object): Promise<any[]> {
    const response = await this.post(path, { ...body, stream: true });
    assertEquals(response.status, 200);
    const events = (await response.text()).split("\n\n").slice(0, -1);
    assertEquals(events.pop(), "data: [DONE]");
    return events.map((event) => JSON.parse(event.slice("data: ".length)));
  }

  async alone(prompt: string, seed: number, count: number): Promise<string> {
    const sampler = new Sampler({ seed, temperature: 0.8 });
    const options = { sampler, maxNewTokens: count };
    const text = generateText(this.model, tokenizer, prompt, options);
    return (await Array.fromAsync(text)).join("");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.batch.destroy();
    await this.model[Symbol.asyncDispose]();
  }
}

export function assertAlmost(actual: number, expected: number): void {
  // The cached and the whole network add up in different orders, in float64.
  assert(Math.abs(actual - expected) < 1e-9, `${actual}, not ${expected}`);
}
