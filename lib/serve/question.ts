// deno-lint-ignore-file camelcase -- OpenAI's names

/**
 * Requests for text: reads the bodies of `/v1/completions` and `/v1/chat/completions`. A parameter
 * that is not supported is refused by name, unless its value asks for nothing.
 */

import { MAX_NEW_TOKENS } from "../model/generate.ts";
import { isWithin, positive, type Range, rangeName, word } from "../range.ts";
import { reasonGiven } from "../refusal.ts";
import { withPlainLineEnds } from "../text/line_ends.ts";
import { opening, promptIds } from "../text/opening.ts";
import type { SamplerOptions } from "../text/sampler.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { ApiError } from "./api_error.ts";

/** A prompt as text and as tokens. */
export interface Prompt {
  readonly text: string;
  readonly ids: readonly number[];
}

/** A checked request for text. */
export interface Question {
  /** True for `/v1/chat/completions`. */
  readonly chat: boolean;
  readonly prompts: readonly Prompt[];
  /** Texts to write for each prompt. */
  readonly n: number;
  /** Most tokens of each text. */
  readonly maxTokens: number;
  /** How tokens are chosen; text i of a prompt has seed + i. */
  readonly sampling: SamplerOptions & { readonly seed: number };
  readonly stop: readonly string[];
  /** True if the text begins with its prompt. */
  readonly echo: boolean;
  readonly stream: boolean;
  /** True if a stream ends with the numbers of tokens. */
  readonly includeUsage: boolean;
  /** How many candidates to list for each token; undefined if no log-probabilities are wanted. */
  readonly logprobs: number | undefined;
  /** True if each token is listed with its id, its candidates and its entropy. */
  readonly details: boolean;
}

/** Limits of a request. */
export interface Limits {
  /** Most tokens of a text. */
  readonly maxTokens: number;
  /** Most texts of a request. */
  readonly maxTexts: number;
  /** Tokens that the model sees at a time. */
  readonly blockSize: number;
}

type Body = Readonly<Record<string, unknown>>;

/** Parameters of both routes that are read. */
const common = [
  ...["model", "max_tokens", "temperature", "top_p", "n", "stop", "seed"],
  ...["stream", "stream_options", "logprobs"],
  // Not OpenAI's; other servers have them under the same names.
  ...["top_k", "min_p", "repetition_penalty"],
];

/** Parameters that are read. */
const known = {
  completions: new Set([...common, "prompt", "echo", "lm_tokens"]),
  chat: new Set([
    ...common,
    ...["messages", "max_completion_tokens", "top_logprobs"],
  ]),
};

/** Parameters that say who asks and change no text. */
const ignored = new Set([
  ...["user", "metadata", "safety_identifier", "prompt_cache_key"],
  ...["service_tier", "store", "parallel_tool_calls"],
]);

/** Values of parameters that are not supported which ask for nothing, as JSON. */
const neutral: Readonly<Record<string, readonly string[]>> = {
  presence_penalty: ["0"],
  frequency_penalty: ["0"],
  logit_bias: ["{}"],
  best_of: ["1"],
  suffix: ['""'],
  tools: ["[]"],
  functions: ["[]"],
  tool_choice: ['"none"', '"auto"'],
  function_call: ['"none"', '"auto"'],
  response_format: ['{"type":"text"}'],
  modalities: ['["text"]'],
  audio: [],
  prediction: [],
  reasoning_effort: [],
  verbosity: [],
  web_search_options: [],
};

/**
 * Reads the body of a request.
 *
 * @throws {ApiError} with the parameter that is missing, wrong or not supported
 */
export function readQuestion(
  json: unknown,
  options: {
    readonly chat: boolean;
    readonly tokenizer: Tokenizer;
    readonly limits: Limits;
  },
): Question {
  const { chat, tokenizer, limits } = options;
  const body = objectOf(json);
  checkParameters(body, known[chat ? "chat" : "completions"]);
  const n = number(body, "n", positive) ?? 1;
  const prompts = chat
    ? [chatPrompt(body, tokenizer)]
    : completionPrompts(body, tokenizer, limits);
  if (prompts.length * n > limits.maxTexts) {
    throw wrong(
      `${
        prompts.length * n
      } texts are more than the ${limits.maxTexts} of a request`,
      "n",
    );
  }
  const stream = boolean(body, "stream");
  const echo = !chat && boolean(body, "echo");
  const logprobs = chat
    ? chatLogprobs(body)
    : number(body, "logprobs", candidates);
  if (echo && logprobs !== undefined) checkFits(prompts, limits);
  const details = boolean(body, "lm_tokens");
  if (details && logprobs === undefined) {
    throw wrong("lm_tokens needs logprobs", "lm_tokens");
  }
  return {
    ...{ chat, prompts, n, stream },
    maxTokens: maxTokens(body, { chat, limits }),
    sampling: {
      temperature: number(body, "temperature", { least: 0 }),
      topP: number(body, "top_p", { least: 0, most: 1 }),
      topK: number(body, "top_k", positive),
      minP: number(body, "min_p", { least: 0, most: 1 }),
      repetitionPenalty: number(body, "repetition_penalty", { above: 0 }),
      seed: number(body, "seed", word) ??
        crypto.getRandomValues(new Uint32Array(1))[0]!,
    },
    stop: stopStrings(body),
    ...{ echo, logprobs, details, includeUsage: usageInStream(body, stream) },
  };
}

/**
 * Reads the body of a request for attention, and returns the tokens of its prompt.
 *
 * @throws {ApiError} with the parameter that is missing or wrong
 */
export function readAttended(
  json: unknown,
  tokenizer: Tokenizer,
): readonly number[] {
  const body = objectOf(json);
  checkParameters(body, attended);
  if ((body["prompt"] ?? undefined) === undefined) {
    throw wrong("prompt is missing", "prompt");
  }
  const [prompt] = completionPrompts(body, tokenizer, { maxTexts: 1 });
  return prompt!.ids;
}

const attended = new Set(["model", "prompt"]);

/** Candidates of a token that may be listed. */
const candidates: Range = { least: 0, most: 20, whole: true };

function isObject(value: unknown): value is Body {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws {ApiError} if the body is not an object */
function objectOf(json: unknown): Body {
  if (isObject(json)) return json;
  throw wrong("The body is not a JSON object");
}

/** Returns the error that a request is wrong. */
function wrong(message: string, param?: string, code?: string): ApiError {
  return new ApiError(400, message, {
    param: param ?? null,
    code: code ?? null,
  });
}

function checkParameters(body: Body, known: ReadonlySet<string>): void {
  for (const [name, value] of Object.entries(body)) {
    if (known.has(name) || ignored.has(name) || value === null) continue;
    const values = Object.hasOwn(neutral, name) ? neutral[name] : undefined;
    if (values === undefined) {
      const message = `Unknown parameter: ${JSON.stringify(name)}`;
      throw wrong(message, name, "unknown_parameter");
    }
    if (values.includes(JSON.stringify(value))) continue;
    const message = `This server does not support ${name}`;
    throw wrong(message, name, "unsupported_parameter");
  }
}

/**
 * Returns the model that a request names, or the first model if it names none.
 *
 * @throws {ApiError} if no model has the name
 */
export function chosenModel<Served extends { readonly name: string }>(
  json: unknown,
  models: readonly Served[],
): Served {
  const name = objectOf(json)["model"] ?? models[0]!.name;
  if (typeof name !== "string") throw wrong("model is not a string", "model");
  const model = models.find((each) => each.name === name);
  if (model !== undefined) return model;
  const names = models.map(({ name }) => JSON.stringify(name)).join(", ");
  const message = `The model ${
    JSON.stringify(name)
  } does not exist; this server has ${names}`;
  throw new ApiError(404, message, { param: "model", code: "model_not_found" });
}

/** Returns a number of the body; undefined if it is left out or null. */
function number(body: Body, name: string, range: Range): number | undefined {
  const value = body[name] ?? undefined;
  if (value === undefined) return undefined;
  if (isWithin(value, range)) return value as number;
  const text = JSON.stringify(value).slice(0, 40);
  throw wrong(`${name} (${text}) is not ${rangeName(range)}`, name);
}

/** Refuses log-probabilities of a prompt whose beginning the model would not see any more. */
function checkFits(prompts: readonly Prompt[], { blockSize }: Limits): void {
  for (const { ids: { length } } of prompts) {
    if (length <= blockSize) continue;
    const message =
      `The prompt has ${length} tokens; echo with logprobs takes at most the ${blockSize} of the model's context`;
    throw wrong(message, "prompt", "context_length_exceeded");
  }
}

function boolean(body: Body, name: string): boolean {
  const value = body[name] ?? false;
  if (typeof value === "boolean") return value;
  throw wrong(`${name} is neither true nor false`, name);
}

function maxTokens(
  body: Body,
  { chat, limits }: { readonly chat: boolean; readonly limits: Limits },
): number {
  const range = { least: 0, most: limits.maxTokens, whole: true };
  const given = number(body, "max_tokens", range);
  if (!chat) return given ?? Math.min(16, limits.maxTokens);
  return number(body, "max_completion_tokens", range) ?? given ??
    Math.min(MAX_NEW_TOKENS, limits.maxTokens);
}

function stopStrings(body: Body): string[] {
  const stop = [body["stop"] ?? []].flat();
  const isText = (value: unknown) => typeof value === "string" && value !== "";
  if (stop.length <= 4 && stop.every(isText)) {
    return (stop as string[]).map(withPlainLineEnds);
  }
  throw wrong("stop is not a text or a list of up to 4 texts", "stop");
}

function usageInStream(body: Body, stream: boolean): boolean {
  const options = body["stream_options"] ?? undefined;
  if (options === undefined) return false;
  if (!stream) {
    throw wrong("stream_options needs stream: true", "stream_options");
  }
  if (!isObject(options)) {
    throw wrong("stream_options is not an object", "stream_options");
  }
  return boolean(options, "include_usage");
}

function chatLogprobs(body: Body): number | undefined {
  const top = number(body, "top_logprobs", candidates);
  if (boolean(body, "logprobs")) return top ?? 0;
  if (!top) return undefined;
  throw wrong("top_logprobs needs logprobs: true", "top_logprobs");
}

/** Returns the prompts of a completion: a text, tokens, or a list of either; by default the beginning of a document, or a line end. */
function completionPrompts(
  body: Body,
  tokenizer: Tokenizer,
  { maxTexts }: Pick<Limits, "maxTexts">,
): Prompt[] {
  const prompt = body["prompt"] ?? opening(tokenizer);
  const isTokens = (value: unknown) =>
    Array.isArray(value) && value.every((id) => typeof id === "number");
  const list = Array.isArray(prompt) && !isTokens(prompt) ? prompt : [prompt];
  // Before any of them is encoded: a list may have a million.
  if (list.length > maxTexts) {
    throw wrong(
      `${list.length} prompts are more than the ${maxTexts} of a request`,
      "prompt",
    );
  }
  return list.map((each) => {
    if (typeof each === "string") return encoded(each, tokenizer, "prompt");
    if (isTokens(each)) return ofTokens(each, tokenizer);
    throw wrong(
      "prompt is not a text, a list of tokens, or a list of these",
      "prompt",
    );
  });
}

/** Returns a prompt with line ends as in training data. */
function encoded(given: string, tokenizer: Tokenizer, param: string): Prompt {
  const text = withPlainLineEnds(given);
  return nonEmpty(param, () => {
    return { text, ids: Array.from(promptIds(tokenizer, text)) };
  });
}

function ofTokens(ids: readonly number[], tokenizer: Tokenizer): Prompt {
  return nonEmpty("prompt", () => ({ text: tokenizer.decode(ids), ids }));
}

/** Returns what `read` returns, and refuses what it refuses. */
function nonEmpty(param: string, read: () => Prompt): Prompt {
  let prompt: Prompt;
  try {
    prompt = read();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw wrong(`Cannot read ${param}: ${reasonGiven(error)}`, param);
  }
  if (prompt.ids.length > 0) return prompt;
  throw wrong(
    `${param} is empty, and a model needs a token to start from`,
    param,
  );
}

const roles = new Set(["system", "developer", "user", "assistant"]);

/** Returns the prompt of a chat: the texts of its messages, joined by line ends. */
function chatPrompt(body: Body, tokenizer: Tokenizer): Prompt {
  const messages = body["messages"];
  if (!Array.isArray(messages) || messages.length === 0) {
    throw wrong("messages is not a list of at least 1 message", "messages");
  }
  const texts = messages.map((message, i) => {
    const at = `messages[${i}]`;
    if (!isObject(message)) throw wrong(`${at} is not an object`, at);
    const { role, content } = message;
    if (typeof role !== "string" || !roles.has(role)) {
      const names = [...roles].join(", ");
      throw wrong(`${at}.role is none of ${names}`, `${at}.role`);
    }
    return contentText(content, `${at}.content`);
  });
  return encoded(texts.join("\n"), tokenizer, "messages");
}

function contentText(content: unknown, at: string): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw wrong(`${at} is not a text`, at);
  return content.map((part) => {
    const { type, text } = isObject(part) ? part : {};
    if (type === "text" && typeof text === "string") return text;
    const message = `This server does not support ${at} other than text`;
    throw wrong(message, at, "unsupported_parameter");
  }).join("");
}
