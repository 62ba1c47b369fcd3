// deno-lint-ignore-file camelcase -- OpenAI's names

/** Clients of OpenAI's API that other people wrote, against `lm serve`'s own function. */

import { assertEquals } from "@std/assert";
import { generateText, Model, Sampler, Tokenizer } from "../../mod.ts";
import { RunningBatch } from "../../lib/model/running_batch.ts";
import { Server } from "../../lib/serve/server.ts";
import { interopTest, runScript } from "./programs.ts";

interopTest(
  "openai, ai and @langchain/openai get the same text, whole and in pieces",
  async () => {
    const tokenizer = Tokenizer.ascii();
    await using model = await Model.create(
      { vocabSize: 128, blockSize: 16, nLayer: 1, nHead: 1, nEmbd: 8 },
      { device: "reference", tokenizer, seed: 2 },
    );
    const generator = new RunningBatch(model, { rows: 2 });
    const server = new Server({
      models: [{ name: "cat", model, generator, tokenizer }],
      ...{ queue: 4, maxTokens: 100, token: "secret", loopbackOnly: true },
    });
    const listener = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => server.answer(request),
    );
    const url = `http://127.0.0.1:${listener.addr.port}/v1`;
    const answers = await runScript("openai_clients.mjs", {
      args: [url, "secret"],
    });
    await listener.shutdown();
    const { texts, usages, errors } = answers as {
      texts: Record<string, string>;
      usages: unknown;
      errors: unknown;
    };
    const expected = (await Array.fromAsync(
      generateText(model, tokenizer, "the cat", {
        maxNewTokens: 30,
        sampler: new Sampler({ temperature: 0 }),
      }),
    )).join("");
    assertEquals(Object.keys(texts).length, 7);
    for (const [client, text] of Object.entries(texts)) {
      assertEquals(text, expected, client);
    }
    const [prompt_tokens, completion_tokens] = [7, 30];
    const usage = { prompt_tokens, completion_tokens, total_tokens: 37 };
    assertEquals(usages, [usage, usage]);
    assertEquals(errors, [
      ["NotFoundError", 404, "model"],
      ["BadRequestError", 400, "best_of"],
      ["AuthenticationError", 401, null],
    ]);
    generator.destroy();
  },
);
