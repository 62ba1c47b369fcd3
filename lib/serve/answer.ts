/** Answers: writes the texts that a question asks for, at once or as server-sent events. */

import { pieces, type TokenGenerator } from "../model/generate.ts";
import { endOfText } from "../text/special.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import {
  ChatFormat,
  CompletionFormat,
  type Format,
  type Piece,
  type ScoredToken,
} from "./answer_format.ts";
import { errorBody } from "./api_error.ts";
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
  /** Callback for an error in the middle of a stream. */
  readonly onError: (error: unknown) => void;
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
    this.#format = new Kind(from, question);
  }

  /** Returns the whole answer. */
  async body(): Promise<unknown> {
    const choices = await Promise.all(
      this.#texts().map(async (text) => {
        const parts = await Array.fromAsync(this.#write(text));
        const whole = {
          index: text.index,
          text: parts.map(({ text }) => text).join(""),
          tokens: parts.flatMap(({ tokens }) => tokens),
          finish: parts.at(-1)!.finish,
        };
        return this.#format.choice(whole);
      }),
    );
    this.#checkWhole();
    return { ...this.#format.head, choices, usage: this.#usage() };
  }

  /**
   * Calls `send` with each event of the answer as its text is written, the last one included.
   * A failure is an event too: the status of the response was sent long before.
   */
  async stream(send: (event: string) => void): Promise<void> {
    const { chat, includeUsage } = this.#question;
    const event = (data: unknown) => send(`data: ${JSON.stringify(data)}\n\n`);
    const head = {
      ...this.#format.chunkHead,
      ...(includeUsage ? { usage: null } : {}),
    };
    const chunk = (piece: Piece, isFirst = false) => {
      event({ ...head, choices: [this.#format.chunk(piece, { isFirst })] });
    };
    try {
      await Promise.all(
        this.#texts().map(async (text) => {
          const first = { index: text.index, tokens: [], finish: null };
          if (chat) chunk({ ...first, text: "" }, true);
          for await (const piece of this.#write(text)) chunk(piece);
        }),
      );
      this.#checkWhole();
      if (includeUsage) {
        event({ ...head, choices: [], usage: this.#usage() });
      }
    } catch (error) {
      this.#options.onError(error);
      event(errorBody(error));
    }
    send("data: [DONE]\n\n");
  }

  /** Throws the reason of the signal if it cut the texts short. */
  #checkWhole(): void {
    this.#options.signal.throwIfAborted();
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

  /** Writes a text, with its prompt if the question asks for it; the last piece has the end. */
  async *#write({ index, prompt, seed }: {
    readonly index: number;
    readonly prompt: Prompt;
    readonly seed: number;
  }): AsyncGenerator<Piece, void> {
    const { generator, tokenizer } = this.#from;
    const { maxTokens, stop, echo, logprobs } = this.#question;
    const { signal } = this.#options;
    const options = { ...this.#question.sampling, seed };
    const scores: Score[] | undefined = logprobs === undefined ? undefined : [];
    // The tokens of a prompt get their scores as those of a text that begins with the first one.
    const isScored = echo && scores !== undefined;
    const start = isScored ? prompt.ids.slice(0, 1) : prompt.ids;
    const given = prompt.ids.slice(start.length);
    const sampler = scores === undefined
      ? new Sampler(options)
      : new ScoringSampler(options, { count: logprobs!, scores, given });
    const maxNewTokens = given.length + maxTokens;
    const tokens = generator.generate(start, {
      ...{ maxNewTokens, signal, sampler },
    });
    for (const _ of given) await tokens.next();
    let length = 0;
    if (echo) {
      const { text } = prompt;
      const scored = isScored ? this.#scoredPrompt(prompt, scores) : [];
      yield { index, text, tokens: scored, finish: null };
      length = text.length;
    }
    const watched = this.#watch(tokens, { scores, offset: length });
    const { ids, scored } = watched;
    for await (const text of pieces(ids, stop, tokenizer.stream())) {
      length += text.length;
      const end = scored.findIndex(({ offset }) => offset >= length);
      const begun = scored.splice(0, end < 0 ? scored.length : end);
      yield { index, text, tokens: begun, finish: null };
    }
    // Scores that are left belong to the stop text, which is not part of the answer, or to tokens without text.
    const isFull = watched.isExhausted() && watched.count() === maxTokens;
    yield isFull
      ? { index, text: "", tokens: scored, finish: "length" }
      : { index, text: "", tokens: [], finish: "stop" };
  }

  /** Takes the scores of a prompt's tokens, except the first. */
  #scoredPrompt({ ids }: Prompt, scores: Score[]): ScoredToken[] {
    const stream = this.#from.tokenizer.stream();
    let offset = 0;
    return ids.map((id, i) => {
      const score = i === 0 ? undefined : scores.shift();
      const token = { id, offset, score };
      offset += stream.push(id).length;
      return token;
    });
  }

  /** Counts tokens, and finds the places of those with a score, as they pass by. */
  #watch(tokens: AsyncIterable<number>, { scores, ...from }: {
    readonly scores: Score[] | undefined;
    /** Number of characters before the first token. */
    readonly offset: number;
  }) {
    const { tokenizer } = this.#from;
    const stream = tokenizer.stream();
    const end = endOfText(tokenizer);
    const scored: ScoredToken[] = [];
    let { offset } = from;
    let [count, isExhausted] = [0, false];
    const onToken = () => {
      count++;
      this.#completionTokens++;
      this.#options.onToken();
    };
    async function* ids() {
      for await (const id of tokens) {
        onToken();
        if (id === end) return;
        if (scores !== undefined) {
          scored.push({ id, offset, score: scores.shift() });
          offset += stream.push(id).length;
        }
        yield id;
      }
      isExhausted = true; // Neither a stop text nor <|endoftext|> ended it.
    }
    return {
      ids: ids(),
      scored,
      count: () => count,
      isExhausted: () => isExhausted,
    };
  }
}
