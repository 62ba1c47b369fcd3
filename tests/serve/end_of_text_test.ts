// deno-lint-ignore-file camelcase -- OpenAI's names

import { assert, assertEquals } from "@std/assert";
import { generateText, Model, Sampler, Tokenizer } from "../../mod.ts";
import { RunningBatch } from "../../lib/model/running_batch.ts";
import { Server } from "../../lib/serve/server.ts";

Deno.test("A text ends where the model draws <|endoftext|>, which is counted and not part of it", async () => {
  const ended = Tokenizer.chars("the cat.\n", { endOfText: true });
  const { vocabSize } = ended;
  await using model = await Model.create(
    { vocabSize, blockSize: 16, nLayer: 1, nHead: 1, nEmbd: 8 },
    { device: "reference", tokenizer: ended },
  );
  const generator = new RunningBatch(model, { rows: 2 });
  const server = new Server({
    models: [{ name: "cat", model, generator, tokenizer: ended }],
    queue: 5,
    ...{ maxTokens: 100, loopbackOnly: true },
  });
  const post = (question: object) =>
    server.answer(
      new Request("http://127.0.0.1:1/v1/completions", {
        method: "POST",
        body: JSON.stringify(question),
      }),
    );
  const complete = async (question: object) =>
    await (await post(question)).json();
  const question = { max_tokens: 100, seed: 7, temperature: 1, logprobs: 2 };
  const { choices: [choice], usage } = await complete(question);
  assertEquals(choice.finish_reason, "stop");
  assertEquals(usage.prompt_tokens, 1); // <|endoftext|>, after which a document begins
  assertEquals(usage.completion_tokens, choice.text.length + 1);
  assertEquals(choice.logprobs.tokens.join(""), choice.text);
  const sampler = new Sampler({ seed: 7, temperature: 1 });
  const parts = generateText(model, ended, "", { maxNewTokens: 100, sampler });
  assertEquals((await Array.fromAsync(parts)).join(""), choice.text);
  const empty = await complete({ ...question, prompt: "" });
  assertEquals(empty.choices[0].text, choice.text);
  const streamed = await (await post({ ...question, stream: true })).text();
  const events = streamed.split("\n\n").slice(0, -2)
    .map((event) => JSON.parse(event.slice("data: ".length)));
  assertEquals(events.at(-1).choices[0].finish_reason, "stop");
  assertEquals(
    events.map(({ choices: [{ text }] }) => text).join(""),
    choice.text,
  );
  const candidates = choice.logprobs.top_logprobs
    .flatMap((top: object) => Object.keys(top));
  assert(candidates.includes("<|endoftext|>"));
  // One token is too few to reach the end.
  const cut = await complete({ ...question, max_tokens: 1 });
  assertEquals(cut.choices[0].finish_reason, "length");
  generator.destroy();
});
