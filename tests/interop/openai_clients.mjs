/** Asks a server of OpenAI's API by other people's clients, unchanged, and prints their texts as JSON. */

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ChatOpenAI, OpenAI as LangChain } from "@langchain/openai";
import { generateText, streamText } from "ai";
import OpenAI from "openai";
import process from "node:process";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const [{ id: model }] = (await client.models.list()).data;
const prompt = "the cat";
const messages = [{ role: "user", content: prompt }];
const question = { model, prompt, max_tokens: 30, temperature: 0 };

const whole = await client.completions.create(question);
let streamed = "";
let usage;
const stream = await client.completions.create({
  ...question,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.text ?? "";
  usage = chunk.usage ?? usage;
}
const chat = await client.chat.completions.create({
  ...{ model, messages, max_tokens: 30, temperature: 0 },
});

// As evaluation harnesses measure how likely a text is.
const scored = await client.completions.create({
  ...{ model, prompt, echo: true, logprobs: 1, max_tokens: 0 },
});

/** Returns the class and the parameter of an error. */
async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    return [error.constructor.name, error.status, error.param];
  }
}
const create = (body) => client.completions.create({ ...question, ...body });
const errors = [
  await errorOf(create({ model: "gpt-4" })),
  await errorOf(create({ best_of: 3 })),
  await errorOf(new OpenAI({ baseURL, apiKey: "other" }).models.list()),
];

const provider = createOpenAICompatible({ name: "lm", baseURL, apiKey });
const settings = { prompt, maxOutputTokens: 30, temperature: 0 };
const ai = await generateText({ model: provider(model), ...settings });
let aiStreamed = "";
const { textStream } = streamText({ model: provider(model), ...settings });
for await (const piece of textStream) aiStreamed += piece;

const options = {
  ...{ model, apiKey, maxTokens: 30, temperature: 0 },
  configuration: { baseURL },
};
const chain = await new LangChain(options).invoke(prompt);
let chainStreamed = "";
for await (const { content } of await new ChatOpenAI(options).stream(prompt)) {
  chainStreamed += content;
}

console.log(JSON.stringify({
  texts: {
    ...{ whole: whole.choices[0].text, streamed, chain, chainStreamed },
    ...{ chat: chat.choices[0].message.content, ai: ai.text, aiStreamed },
  },
  usages: [whole.usage, usage],
  scored: scored.choices[0],
  errors,
}));
