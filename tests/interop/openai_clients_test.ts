// deno-lint-ignore-file camelcase -- OpenAI's names

/** Clients of OpenAI's API that other people wrote, against `lm serve`'s own function. */

import { assertAlmostEquals, assertEquals } from "@std/assert";
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
    const { texts, usages, errors, scored } = answers as {
      texts: Record<string, string>;
      usages: unknown;
      errors: unknown;
      scored: {
        text: string;
        logprobs: { tokens: string[]; token_logprobs: (number | null)[] };
      };
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
    const { text, logprobs: { tokens, token_logprobs } } = scored;
    assertEquals([text, tokens.join("")], ["the cat", "the cat"]);
    assertEquals(token_logprobs[0], null);
    const ids = tokenizer.encode("the cat");
    const logits = await model.forward(ids, { B: 1, T: 7 });
    const last = logits.subarray(5 * 128, 6 * 128) as Float64Array;
    const share = new Sampler().probabilities(last)[ids[6]!]!;
    // The cached and the whole network add up in different orders, in float64.
    assertAlmostEquals(token_logprobs[6]!, Math.log(share), 1e-9);
    generator.destroy();
  },
);
