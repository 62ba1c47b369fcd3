/** The JSON of texts in OpenAI's API, whole or in pieces. */

import type { Tokenizer } from "../text/tokenizer.ts";
import type { Score } from "./scoring_sampler.ts";

/** A piece of a text, or its end. */
export interface Piece {
  /** Position of the text in the answer. */
  readonly index: number;
  readonly text: string;
  /** Tokens that begin in this piece. */
  readonly tokens: readonly ScoredToken[];
  /** Why the text ended, in its last piece. */
  readonly finish: "stop" | "length" | null;
}

/** A token with its place in the text. */
export interface ScoredToken {
  readonly id: number;
  /** Number of characters before the token. */
  readonly offset: number;
  /** How likely it was; undefined for the first token of a prompt. */
  readonly score: Score | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** The JSON of one route. */
export interface Format {
  /** Fields of an answer. */
  readonly head: Fields;
  /** Fields of each event of a stream. */
  readonly chunkHead: Fields;
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

/** JSON of `/v1/completions`. */
export class CompletionFormat implements Format {
  readonly head: Fields;
  readonly chunkHead: Fields;
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
      token_logprobs: tokens.map(({ score }) => score?.logprob ?? null),
      top_logprobs: tokens.map(({ score }) =>
        score ? topOf(score, text) : null
      ),
      text_offset: tokens.map(({ offset }) => offset),
    };
  }
}

/** Returns the candidates of a token and the token itself, by their texts, the likeliest first. */
function topOf(
  { id, logprob, top }: Score,
  text: (id: number) => string,
): Readonly<Record<string, number>> {
  const byText = new Map<string, number>();
  for (const each of [...top, { id, logprob }]) {
    // Parts of characters have the same text; the likeliest of them stays.
    const key = text(each.id);
    if (!byText.has(key)) byText.set(key, each.logprob);
  }
  return Object.fromEntries(byText);
}

/** JSON of `/v1/chat/completions`. */
export class ChatFormat implements Format {
  readonly head: Fields;
  readonly chunkHead: Fields;
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
    const content = tokens.map(({ score }) => ({
      ...named(score!), // A chat never repeats its prompt.
      top_logprobs: score!.top.map(named),
    }));
    return { content, refusal: null };
  }
}
