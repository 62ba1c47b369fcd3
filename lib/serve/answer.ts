/**
 * Answers: writes the texts that a question asks for, and puts them into the JSON of OpenAI's API,
 * at once or as server-sent events.
 */

import { pieces, type TokenGenerator } from "../model/generate.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { ApiError, errorBody } from "./api_error.ts";
import type { Prompt, Question } from "./question.ts";
import { Sampler } from "../text/sampler.ts";
import { type Score, ScoringSampler } from "./scoring_sampler.ts";

/** A model that answers, with its name and tokenizer. */
export interface Answerer {
  readonly name: string;
  readonly generator: TokenGenerator;
  readonly tokenizer: Tokenizer;
}

/** An answer on its way. */
export interface AnswerOptions {
  /** Signal that ends all texts of the answer. */
  readonly signal: AbortSignal;
  /** Callback for each token generated. */
  readonly onToken: () => void;
}

/** A piece of a text, or its end. */
interface Piece {
  /** Position of the text in the answer. */
  readonly index: number;
  readonly text: string;
  /** Tokens that begin in this piece. */
  readonly tokens: readonly ScoredToken[];
  /** Why the text ended, in its last piece. */
  readonly finish: "stop" | "length" | null;
}

/** A token with its place in the text. */
interface ScoredToken extends Score {
  /** Number of characters before the token. */
  readonly offset: number;
}

/** Tokens that an answer took. */
type Usage = Readonly<
  Record<"prompt_tokens" | "completion_tokens" | "total_tokens", number>
>;

/** Writes the texts of one question. */
export class Answer {
  readonly #question: Question;
  readonly #from: Answerer;
  readonly #options: AnswerOptions;
  readonly #format: Format;
  #completionTokens = 0;

  /** Prepares an answer; nothing is generated yet. */
  constructor(question: Question, from: Answerer, options: AnswerOptions) {
    this.#question = question;
    this.#from = from;
    this.#options = options;
    const Kind = question.chat ? ChatFormat : CompletionFormat;
    this.#format = new Kind(from.name, from.tokenizer);
  }

  /** Returns the whole answer. */
  async body(): Promise<unknown> {
    const { echo, logprobs } = this.#question;
    const choices = await Promise.all(
      this.#texts().map(async (text) => {
        const parts = await Array.fromAsync(this.#write(text));
        const whole = {
          index: text.index,
          text: (echo ? text.prompt.text : "") +
            parts.map(({ text }) => text).join(""),
          tokens: parts.flatMap(({ tokens }) => tokens),
          finish: parts.at(-1)!.finish,
        };
        return this.#format.choice(whole, logprobs !== undefined);
      }),
    );
    return { ...this.#format.head, choices, usage: this.#usage() };
  }

  /**
   * Calls `send` with each event of the answer as its text is written, the last one included.
   * A failure is an event too: the status of the response was sent long before.
   */
  async stream(send: (event: string) => void): Promise<void> {
    const { echo, includeUsage, logprobs } = this.#question;
    const event = (data: unknown) => send(`data: ${JSON.stringify(data)}\n\n`);
    const head = {
      ...this.#format.chunkHead,
      ...(includeUsage ? { usage: null } : {}),
    };
    const chunk = (piece: Piece, isFirst = false) => {
      const choice = this.#format.chunk(piece, {
        isFirst,
        scored: logprobs !== undefined,
      });
      event({ ...head, choices: [choice] });
    };
    try {
      await Promise.all(
        this.#texts().map(async ({ index, prompt, seed }) => {
          const first = { index, tokens: [], finish: null };
          if (echo) chunk({ ...first, text: prompt.text });
          else if (this.#question.chat) chunk({ ...first, text: "" }, true);
          for await (const piece of this.#write({ index, prompt, seed })) {
            chunk(piece);
          }
        }),
      );
      this.#checkWhole();
      if (includeUsage) {
        event({ ...head, choices: [], usage: this.#usage() });
      }
    } catch (error) {
      event(errorBody(error));
    }
    send("data: [DONE]\n\n");
  }

  #checkWhole(): void {
    if (!this.#options.signal.aborted) return;
    throw new ApiError(503, "The server stopped before the end of the text");
  }

  /** Returns the texts to write, in the order of the answer. */
  #texts() {
    const { prompts, n, sampling: { seed } } = this.#question;
    return prompts.flatMap((prompt, p) =>
      Array.from({ length: n }, (_, i) => ({
        index: p * n + i,
        prompt,
        seed: (seed + i) % 2 ** 32, // as `lm sample --num-samples` has it
      }))
    );
  }

  #usage(): Usage {
    const { prompts } = this.#question;
    const prompted = prompts.reduce((sum, { ids }) => sum + ids.length, 0);
    const written = this.#completionTokens;
    return {
      prompt_tokens: prompted,
      completion_tokens: written,
      total_tokens: prompted + written,
    };
  }

  /** Writes a text; the last piece is its end. */
  async *#write({ index, prompt, seed }: {
    readonly index: number;
    readonly prompt: Prompt;
    readonly seed: number;
  }): AsyncGenerator<Piece, void> {
    const { generator, tokenizer } = this.#from;
    const { maxTokens: maxNewTokens, stop, logprobs } = this.#question;
    const { signal } = this.#options;
    const options = { ...this.#question.sampling, seed };
    const scores: Score[] | undefined = logprobs === undefined ? undefined : [];
    const sampler = scores === undefined
      ? new Sampler(options)
      : new ScoringSampler(options, { count: logprobs!, scores });
    const tokens = generator.generate(prompt.ids, {
      ...{ maxNewTokens, signal, sampler },
    });
    const watched = this.#watch(tokens, scores);
    const { ids, scored } = watched;
    let length = 0;
    for await (const text of pieces(ids, stop, tokenizer.stream())) {
      length += text.length;
      const end = scored.findIndex(({ offset }) => offset >= length);
      const begun = scored.splice(0, end < 0 ? scored.length : end);
      yield { index, text, tokens: begun, finish: null };
    }
    // Scores that are left belong to the stop text, which is not part of the answer.
    const isFull = watched.isExhausted() && watched.count() === maxNewTokens;
    const finish = isFull ? "length" : "stop";
    yield { index, text: "", tokens: [], finish };
  }

  /** Counts tokens, and finds the places of those with a score, as they pass by. */
  #watch(tokens: AsyncIterable<number>, scores: Score[] | undefined) {
    const stream = this.#from.tokenizer.stream();
    const scored: ScoredToken[] = [];
    let [offset, count, isExhausted] = [0, 0, false];
    const onToken = () => {
      count++;
      this.#completionTokens++;
      this.#options.onToken();
    };
    async function* ids() {
      for await (const id of tokens) {
        onToken();
        if (scores !== undefined) {
          scored.push({ ...scores.shift()!, offset });
          offset += stream.push(id).length;
        }
        yield id;
      }
      isExhausted = true; // No stop text ended it.
    }
    return {
      ids: ids(),
      scored,
      count: () => count,
      isExhausted: () => isExhausted,
    };
  }
}

/** The JSON of one route. */
interface Format {
  /** Fields of an answer. */
  readonly head: Readonly<Record<string, unknown>>;
  /** Fields of each event of a stream. */
  readonly chunkHead: Readonly<Record<string, unknown>>;
  /** Returns a whole text. */
  choice(text: Piece, scored: boolean): unknown;
  /** Returns a piece of a text. */
  chunk(
    piece: Piece,
    options: { readonly isFirst: boolean; readonly scored: boolean },
  ): unknown;
}

function headOf(prefix: string, object: string, model: string) {
  const created = Math.floor(Date.now() / 1000);
  return { id: `${prefix}-${crypto.randomUUID()}`, object, created, model };
}

class CompletionFormat implements Format {
  readonly head;
  readonly chunkHead;
  readonly #tokenizer: Tokenizer;

  constructor(model: string, tokenizer: Tokenizer) {
    this.head = headOf("cmpl", "text_completion", model);
    this.chunkHead = this.head;
    this.#tokenizer = tokenizer;
  }

  choice({ index, text, tokens, finish }: Piece, scored: boolean): unknown {
    const logprobs = scored ? this.#logprobs(tokens) : null;
    return { index, text, logprobs, finish_reason: finish };
  }

  chunk(piece: Piece, { scored }: { readonly scored: boolean }): unknown {
    return this.choice(piece, scored);
  }

  #logprobs(tokens: readonly ScoredToken[]) {
    const text = (id: number) => this.#tokenizer.decode([id]);
    return {
      tokens: tokens.map(({ id }) => text(id)),
      token_logprobs: tokens.map(({ logprob }) => logprob),
      top_logprobs: tokens.map(({ top }) =>
        Object.fromEntries(top.map(({ id, logprob }) => [text(id), logprob]))
      ),
      text_offset: tokens.map(({ offset }) => offset),
    };
  }
}

class ChatFormat implements Format {
  readonly head;
  readonly chunkHead;
  readonly #tokenizer: Tokenizer;

  constructor(model: string, tokenizer: Tokenizer) {
    this.head = headOf("chatcmpl", "chat.completion", model);
    this.chunkHead = { ...this.head, object: "chat.completion.chunk" };
    this.#tokenizer = tokenizer;
  }

  choice({ index, text, tokens, finish }: Piece, scored: boolean): unknown {
    return {
      index,
      message: { role: "assistant", content: text, refusal: null },
      logprobs: scored ? this.#logprobs(tokens) : null,
      finish_reason: finish,
    };
  }

  chunk(
    { index, text, tokens, finish }: Piece,
    { isFirst, scored }: {
      readonly isFirst: boolean;
      readonly scored: boolean;
    },
  ): unknown {
    const role = isFirst ? { role: "assistant" } : {};
    return {
      index,
      delta: finish === null ? { ...role, content: text } : {},
      logprobs: scored && tokens.length > 0 ? this.#logprobs(tokens) : null,
      finish_reason: finish,
    };
  }

  #logprobs(tokens: readonly ScoredToken[]) {
    const named = ({ id, logprob }: { id: number; logprob: number }) => {
      const token = this.#tokenizer.decode([id]);
      // A part of a character has no text of its own.
      const bytes = token.includes("\ufffd")
        ? null
        : [...new TextEncoder().encode(token)];
      return { token, logprob, bytes };
    };
    const content = tokens.map((token) => ({
      ...named(token),
      top_logprobs: token.top.map(named),
    }));
    return { content, refusal: null };
  }
}
