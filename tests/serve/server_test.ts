// deno-lint-ignore-file camelcase -- OpenAI's names

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Sampler } from "../../mod.ts";
import { assertAlmost, Site, tokenizer } from "./site.ts";

Deno.test("Server answers completions with the texts of the same seeds alone", async () => {
  await using site = await Site.open();
  const prompt = ["the ", "a cat"];
  const question = { prompt, n: 2, seed: 7, temperature: 0.8, max_tokens: 30 };
  const { choices, usage, object, model } = await site.complete(question);
  assertEquals([object, model], ["text_completion", "cat"]);
  const expected = [];
  for (const text of prompt) {
    for (const seed of [7, 8]) expected.push(await site.alone(text, seed, 30));
  }
  // deno-lint-ignore no-explicit-any
  assertEquals(choices.map(({ text }: any) => text), expected);
  assertEquals(choices[3].index, 3);
  assertEquals(choices[3].finish_reason, "length");
  assertEquals(usage, {
    prompt_tokens: 9,
    completion_tokens: 120,
    total_tokens: 129,
  });
  const ids = await site.complete({
    ...{ ...question, n: 1, prompt: [...tokenizer.encode("a cat")] },
    echo: true,
  });
  assertEquals(ids.choices[0].text, `a cat${expected[2]}`);
  const nothing = await site.complete({ max_tokens: 0 });
  assertEquals(nothing.choices[0].text, "");
});

Deno.test("Server streams the text that it also gives in one piece", async () => {
  await using site = await Site.open();
  const question = {
    prompt: "the ",
    n: 3,
    seed: 1,
    max_tokens: 20,
    echo: true,
  };
  const { choices } = await site.complete(question);
  const options = { include_usage: true };
  const events = await site.stream("/v1/completions", {
    ...question,
    stream_options: options,
  });
  assertEquals(events.pop(), {
    ...events[0],
    choices: [],
    usage: { prompt_tokens: 4, completion_tokens: 60, total_tokens: 64 },
  });
  for (const { index, text, finish_reason } of choices) {
    const mine = events.map(({ choices: [choice] }) => choice)
      .filter((choice) => choice.index === index);
    assertEquals(mine.map(({ text }) => text).join(""), text);
    assertEquals(mine.at(-1).finish_reason, finish_reason);
  }

  const chat = { messages: [{ role: "user", content: "the " }], seed: 1 };
  const response = await site.post("/v1/chat/completions", chat);
  const { choices: [{ message }], object } = await response.json();
  assertEquals(object, "chat.completion");
  assert(message.content.length === 100); // the limit is below the default
  const pieces = await site.stream("/v1/chat/completions", chat);
  const deltas = pieces.map(({ choices: [{ delta }] }) => delta);
  assertEquals(deltas[0], { role: "assistant", content: "" });
  assertEquals(
    deltas.map(({ content = "" }) => content).join(""),
    message.content,
  );
});

Deno.test("Server ends a text before a stop text and lists log-probabilities up to there", async () => {
  await using site = await Site.open();
  const question = {
    ...{ prompt: "the ", seed: 7, max_tokens: 60, logprobs: 2 },
    temperature: 3, // a text that repeats nothing
  };
  const [whole] = (await site.complete(question)).choices;
  assertEquals(whole.logprobs.tokens.join(""), whole.text);
  const stop = whole.text.slice(20, 23);
  const at = whole.text.indexOf(stop);
  const cut = await site.complete({ ...question, stop: [stop, "zzz"] });
  const [{ text, finish_reason, logprobs }] = cut.choices;
  assertEquals([text, finish_reason], [whole.text.slice(0, at), "stop"]);
  assertEquals(logprobs.tokens.join(""), text);
  assertEquals(logprobs.text_offset.at(-1), at - 1);
  assertEquals(cut.usage.completion_tokens, at + 3);

  // The model's own probabilities, whatever the temperature.
  const ids = [...tokenizer.encode("the ")];
  const logits = await site.model.forward(Int32Array.from(ids), { B: 1, T: 4 });
  const last = logits.subarray(-tokenizer.vocabSize) as Float64Array;
  const expected = new Sampler().probabilities(last);
  const [id] = tokenizer.encode(whole.text);
  assertAlmost(whole.logprobs.token_logprobs[0], Math.log(expected[id!]!));
  const [best, next] = Object.values(
    whole.logprobs.top_logprobs[0],
  ) as number[];
  const ranked = [...expected].sort((a, b) => b - a).map(Math.log);
  assertAlmost(best!, ranked[0]!);
  assertAlmost(next!, ranked[1]!);

  const chat = await site.post("/v1/chat/completions", {
    messages: [{ role: "user", content: [{ type: "text", text: "the " }] }],
    ...{ seed: 7, logprobs: true, top_logprobs: 2, max_completion_tokens: 5 },
    temperature: 3,
  });
  const [{ logprobs: { content } }] = (await chat.json()).choices;
  assertEquals(content.length, 5);
  assertAlmost(content[0].logprob, whole.logprobs.token_logprobs[0]);
  assertEquals(content[0].top_logprobs.length, 2);
  assertEquals(content[0].bytes, [content[0].token.charCodeAt(0)]);
});

Deno.test("Server lists log-probabilities of a prompt, as evaluation harnesses ask for them", async () => {
  await using site = await Site.open();
  const text = "the cat sat";
  const ids = tokenizer.encode(text);
  const T = ids.length;
  const { vocabSize: V } = tokenizer;
  const logits = await site.model.forward(ids, { B: 1, T });
  const plain = new Sampler();
  const rows = Array.from({ length: T }, (_, i) =>
    plain.probabilities(
      logits.subarray(i * V, (i + 1) * V) as Float64Array,
    ));
  const question = { prompt: [...ids], echo: true, logprobs: 2, max_tokens: 0 };
  const alone = await site.complete(question);
  const [{ logprobs, finish_reason, ...choice }] = alone.choices;
  assertEquals([choice.text, finish_reason], [text, "length"]);
  assertEquals(alone.usage.completion_tokens, 0);
  assertEquals(logprobs.tokens, [...text]);
  assertEquals(logprobs.text_offset, Array.from(text, (_, i) => i));
  assertEquals([logprobs.token_logprobs[0], logprobs.top_logprobs[0]], [
    null,
    null,
  ]);
  for (let i = 1; i < T; i++) {
    const expected = rows[i - 1]!;
    const logprob = logprobs.token_logprobs[i];
    assertAlmost(logprob, Math.log(expected[ids[i]!]!));
    const top = logprobs.top_logprobs[i];
    const best = expected.indexOf(Math.max(...expected));
    assertEquals(Object.keys(top)[0], tokenizer.decode([best]));
    assertAlmost(
      Math.max(...Object.values<number>(top)),
      Math.log(expected[best]!),
    );
    assertEquals(top[text[i]!], logprob); // also if it is not among the best
    assert(Object.keys(top).length <= 3);
  }

  // A continuation is that of the same seed without echo, and its scores follow.
  const settings = { prompt: text, seed: 7, temperature: 0.8, max_tokens: 30 };
  const bare = await site.complete({ ...settings, logprobs: 2 });
  const echoed = await site.complete({ ...question, ...settings, stop: "t" });
  const free = await site.complete({ ...question, ...settings, prompt: text });
  const [{ text: rest, logprobs: own }] = bare.choices;
  assertEquals(free.choices[0].text, text + rest);
  assertEquals(free.choices[0].logprobs.tokens, [...text, ...rest]);
  assertEquals(free.choices[0].logprobs.text_offset.length, T + 30);
  assertAlmost(
    free.choices[0].logprobs.token_logprobs[T],
    own.token_logprobs[0],
  );
  assertEquals(free.usage, bare.usage);
  // The prompt has the stop text, which ends the continuation alone.
  assertEquals(echoed.choices[0].text, text + rest.split("t")[0]);

  const events = await site.stream("/v1/completions", {
    ...question,
    ...settings,
  });
  const pieces = events.map(({ choices: [choice] }) => choice);
  assertEquals(pieces[0].logprobs.tokens.join(""), text);
  assertEquals(
    pieces.flatMap(({ logprobs }) => logprobs.token_logprobs),
    free.choices[0].logprobs.token_logprobs,
  );

  // A prompt may fill the context of 16 tokens; one token has nothing before it.
  const full = await site.complete({ ...question, prompt: "the cat sat on a" });
  assertEquals(full.choices[0].logprobs.token_logprobs.length, 16);
  const one = await site.complete({ ...question, prompt: "t" });
  assertEquals(one.choices[0].logprobs.token_logprobs, [null]);
});

Deno.test("Server reads CR LF in prompts, messages and stop texts as LF", async () => {
  await using site = await Site.open();
  const settings = { seed: 5, temperature: 3, max_tokens: 80 };
  const [crlf, lf] = ["the cat.\r\nthe ", "the cat.\nthe "];
  const plain = await site.complete({ ...settings, prompt: lf, echo: true });
  const [{ text }] = plain.choices;
  const typed = await site.complete({ ...settings, prompt: crlf, echo: true });
  assertEquals(typed.choices[0].text, text);
  const chat = await site.post("/v1/chat/completions", {
    ...settings,
    messages: [{ role: "user", content: [{ type: "text", text: crlf }] }],
  });
  const [{ message }] = (await chat.json()).choices;
  assertEquals(message.content, text.slice(lf.length));
  const at = message.content.indexOf("\n", 10);
  assert(at > 0, "this seed writes no line end");
  const around = message.content.slice(at - 2, at + 1);
  const stop = around.replace("\n", "\r\n");
  const cut = await site.complete({ ...settings, prompt: lf, stop });
  const [{ text: before }] = cut.choices;
  assertEquals(
    before,
    message.content.slice(0, message.content.indexOf(around)),
  );
});

Deno.test("Server refuses by name what it cannot do", async () => {
  await using site = await Site.open();
  const message = { role: "user", content: "the" };
  const cases: [
    path: string,
    body: unknown,
    status: number,
    param: string | null,
    word: string,
  ][] = [
    ["", "{", 400, null, "not JSON"],
    ["", "[]", 400, null, "not a JSON object"],
    [
      "",
      { prompt: "the", presence_penalty: 1 },
      400,
      "presence_penalty",
      "does not support",
    ],
    ["", { prompt: "the", best_of: 2 }, 400, "best_of", "does not support"],
    ["", { prompt: "the", color: 1 }, 400, "color", "Unknown parameter"],
    [
      "",
      { prompt: "the", constructor: 1 },
      400,
      "constructor",
      "Unknown parameter",
    ],
    ["", { prompt: "the", model: "gpt-4" }, 404, "model", "does not exist"],
    ["", { prompt: "THE" }, 400, "prompt", '"T" (U+0054) at line 1, column 1'],
    ["", { prompt: "" }, 400, "prompt", "is empty"],
    ["", { prompt: [99] }, 400, "prompt", "ids are integers"],
    ["", { prompt: [[1.5]] }, 400, "prompt", "ids are integers"],
    ["", { prompt: { a: 1 } }, 400, "prompt", "is not a text"],
    ["", { prompt: Array(9).fill("the") }, 400, "prompt", "more than the 8"],
    ["", { n: 9 }, 400, "n", "more than the 8"],
    ["", { max_tokens: 101 }, 400, "max_tokens", "from 0 to 100"],
    ["", { temperature: -1 }, 400, "temperature", "at least 0"],
    ["", { temperature: "hot" }, 400, "temperature", "at least 0"],
    ["", { top_p: 2 }, 400, "top_p", "from 0 to 1"],
    ["", { seed: -1 }, 400, "seed", "from 0 to 4294967295"],
    ["", { stop: [""] }, 400, "stop", "up to 4"],
    ["", { stream: 1 }, 400, "stream", "neither"],
    ["", { stream_options: {} }, 400, "stream_options", "needs stream"],
    [
      "",
      { prompt: "the cat sat on a ", echo: true, logprobs: 1 },
      400,
      "prompt",
      "has 17 tokens; echo with logprobs takes at most the 16",
    ],
    [
      "chat/",
      { messages: [message], tools: [{}] },
      400,
      "tools",
      "does not support",
    ],
    ["chat/", { messages: [] }, 400, "messages", "at least 1"],
    [
      "chat/",
      { messages: [{ ...message, role: "tool" }] },
      400,
      "messages[0].role",
      "none of",
    ],
    [
      "chat/",
      { messages: [{ ...message, content: [{ type: "image_url" }] }] },
      400,
      "messages[0].content",
      "other than text",
    ],
    ["chat/", { messages: [message], prompt: "the" }, 400, "prompt", "Unknown"],
    [
      "",
      JSON.stringify({ prompt: "t".repeat(2 ** 20) }),
      413,
      null,
      "longer than",
    ],
  ];
  for (const [path, body, status, param, word] of cases) {
    const response = await site.post(`/v1/${path}completions`, body);
    const { error } = await response.json();
    assertEquals([response.status, error.param], [status, param], word);
    assertEquals(error.type, "invalid_request_error");
    assertStringIncludes(error.message, word);
  }
  // Values that ask for nothing.
  await site.complete({
    ...{ prompt: "the", presence_penalty: 0, logit_bias: {}, best_of: 1 },
    ...{ suffix: null, user: "me", stop: null, n: null, logprobs: null },
  });
  assertEquals((await site.ask("/v1/embeddings")).status, 404);
  assertEquals((await site.ask("/v1/completions")).status, 405);
  assertEquals((await site.ask("/v1/models/cat")).status, 200);
});
