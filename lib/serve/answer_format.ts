/** The JSON of texts in OpenAI's API, whole or in pieces. */

import { specialName } from "../text/special.ts";
import { tokenText } from "../text/token_text.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Question } from "./question.ts";
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
  /** Probabilities at the token; undefined for the first token of a prompt. */
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
  choice(text: Piece): unknown;
  /** Returns a piece of a text. */
  chunk(piece: Piece, options: { readonly isFirst: boolean }): unknown;
}

/** Details of tokens that an answer includes. */
export type TokenFacts = Pick<Question, "logprobs" | "details">;

/** A model by name, and its tokenizer. */
interface Named {
  readonly name: string;
  readonly tokenizer: Tokenizer;
}

function headOf(prefix: string, object: string, model: string) {
  const created = Math.floor(Date.now() / 1000);
  return { id: `${prefix}-${crypto.randomUUID()}`, object, created, model };
}

/** Returns the text of a token; of a special token its name. */
function nameOf(tokenizer: Tokenizer, id: number): string {
  return specialName(tokenizer, id) ?? tokenizer.decode([id]);
}

/** JSON of `/v1/completions`. */
export class CompletionFormat implements Format {
  readonly head: Fields;
  readonly chunkHead: Fields;
  readonly #tokenizer: Tokenizer;
  readonly #facts: TokenFacts;

  constructor({ name, tokenizer }: Named, facts: TokenFacts) {
    this.head = headOf("cmpl", "text_completion", name);
    this.chunkHead = this.head;
    this.#tokenizer = tokenizer;
    this.#facts = facts;
  }

  choice({ index, text, tokens, finish }: Piece): unknown {
    const { logprobs, details } = this.#facts;
    return {
      ...{ index, text, finish_reason: finish },
      logprobs: logprobs === undefined ? null : this.#logprobs(tokens),
      ...details &&
        { lm_tokens: tokens.map((token) => detailsOf(token, this.#tokenizer)) },
    };
  }

  chunk(piece: Piece): unknown {
    return this.choice(piece);
  }

  #logprobs(tokens: readonly ScoredToken[]) {
    const text = (id: number) => nameOf(this.#tokenizer, id);
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

/** Returns tokens with all that is known about them; not OpenAI's. */
function detailsOf(
  { id, score }: ScoredToken,
  tokenizer: Tokenizer,
): unknown {
  const named = ({ id, logprob }: { id: number; logprob?: number }) => ({
    ...{ id, text: tokenText(tokenizer, id), logprob: logprob ?? null },
  });
  const { entropy = null, top = [] } = score ?? {};
  return { ...named(score ?? { id }), entropy, top: top.map(named) };
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
  readonly #isScored: boolean;

  constructor({ name, tokenizer }: Named, { logprobs }: TokenFacts) {
    this.head = headOf("chatcmpl", "chat.completion", name);
    this.chunkHead = { ...this.head, object: "chat.completion.chunk" };
    this.#tokenizer = tokenizer;
    this.#isScored = logprobs !== undefined;
  }

  choice({ index, text, tokens, finish }: Piece): unknown {
    return {
      index,
      message: { role: "assistant", content: text, refusal: null },
      logprobs: this.#isScored ? this.#logprobs(tokens) : null,
      finish_reason: finish,
    };
  }

  chunk(
    { index, text, tokens, finish }: Piece,
    { isFirst }: { readonly isFirst: boolean },
  ): unknown {
    const role = isFirst ? { role: "assistant" } : {};
    const isScored = this.#isScored && tokens.length > 0;
    return {
      index,
      delta: finish === null ? { ...role, content: text } : {},
      logprobs: isScored ? this.#logprobs(tokens) : null,
      finish_reason: finish,
    };
  }

  #logprobs(tokens: readonly ScoredToken[]) {
    const named = ({ id, logprob }: { id: number; logprob: number }) => {
      const token = nameOf(this.#tokenizer, id);
      const bytes = [...this.#tokenizer.bytesOf(id)];
      return { token, logprob, bytes };
    };
    const content = tokens.map(({ score }) => ({
      ...named(score!), // A chat never repeats its prompt.
      top_logprobs: score!.top.map(named),
    }));
    return { content, refusal: null };
  }
}
