/** Special tokens, which represent no text: `<|endoftext|>` between documents, and the encoding of texts that contain names of special tokens. */

import type { ByteTokenizer } from "./byte_tokenizer.ts";
import type {
  CharactersJSON,
  CharacterTokenizer,
} from "./character_tokenizer.ts";
import {
  checkedId,
  type DecodeOptions,
  type DecodeStream,
  type EncodeOptions,
  type EncodeStream,
} from "./token_streams.ts";
import { type Tokens, tokensOf } from "./tokens.ts";

/** Name of the token that ends each document, as in GPT-2. */
export const END_OF_TEXT = "<|endoftext|>";

/** Names of that token: GPT-2's and Llama 3's. */
const endNames = [END_OF_TEXT, "<|end_of_text|>"];

/**
 * Returns the id of the token that ends each document: `<|endoftext|>`, or Llama 3's `<|end_of_text|>`.
 * A generated text ends where a model draws it.
 *
 * @param tokenizer a `Tokenizer`
 * @returns undefined if the tokenizer has no such token
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { endOfText, Tokenizer } from "@lm/core";
 *
 * const tokenizer = Tokenizer.chars("Ada Alan", { endOfText: true });
 * assertEquals(endOfText(tokenizer), tokenizer.vocabSize - 1);
 * assertEquals(endOfText(Tokenizer.chars("Ada Alan")), undefined);
 * ```
 */
export function endOfText(
  { specialTokens }: { readonly specialTokens: ReadonlyMap<string, number> },
): number | undefined {
  const name = endNames.find((name) => specialTokens.has(name));
  return name === undefined ? undefined : specialTokens.get(name);
}

/** Returns the name of a special token; undefined if the id is not that of a special token. */
export function specialName(
  { specialTokens }: { readonly specialTokens: ReadonlyMap<string, number> },
  id: number,
): string | undefined {
  for (const [name, special] of specialTokens) if (special === id) return name;
  return undefined;
}

/**
 * Encodes a text in which some names of special tokens stand for the tokens; of two that begin at one place, the longer.
 *
 * @param special ids by name
 * @param encode encodes the text between them
 */
export function encodeWithSpecial(
  text: string,
  { special, allowed }: {
    readonly special: ReadonlyMap<string, number>;
    readonly allowed: NonNullable<EncodeOptions["allowedSpecial"]>;
  },
  encode: (text: string) => Int32Array,
): Int32Array {
  const names = (allowed === "all" ? [...special.keys()] : [...allowed])
    .filter((name) => name !== "" && special.has(name))
    .sort((a, b) => b.length - a.length);
  if (names.length === 0) return encode(text);
  const parts = text.split(new RegExp(`(${names.map(escaped).join("|")})`));
  const ids = parts.map((part, i) =>
    i % 2 === 0 ? encode(part) : [special.get(part)!]
  );
  return Int32Array.from(ids.flatMap((part) => [...part]));
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
}

/** A tokenizer of characters or bytes with `<|endoftext|>` as its last token. */
export class EndedTokenizer {
  readonly vocabSize: number;
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly #base: CharacterTokenizer | ByteTokenizer;
  readonly #end: number;

  constructor(base: CharacterTokenizer | ByteTokenizer) {
    this.#base = base;
    this.#end = base.vocabSize;
    this.vocabSize = base.vocabSize + 1;
    this.specialTokens = new Map([[END_OF_TEXT, this.#end]]);
  }

  get kind(): "ascii" | "chars" | "bytes" {
    return this.#base.kind;
  }

  toJSON():
    & ({ readonly kind: "ascii" | "bytes" } | CharactersJSON)
    & { readonly endOfText: true } {
    return { ...this.#base.toJSON(), endOfText: true };
  }

  encode(text: string, { allowedSpecial }: EncodeOptions = {}): Int32Array {
    const encode = (text: string) => this.#base.encode(text);
    if (allowedSpecial === undefined) return encode(text);
    const tokens = { special: this.specialTokens, allowed: allowedSpecial };
    return encodeWithSpecial(text, tokens, encode);
  }

  encoder(): EncodeStream {
    const encoder = this.#base.encoder();
    return {
      push: (piece) => this.#widened(encoder.push(piece)),
      flush: () => this.#widened(encoder.flush()),
    };
  }

  /** Returns tokens in the element type of this vocabulary, which may be wider. */
  #widened(tokens: Tokens): Tokens {
    const wide = tokensOf(this.vocabSize, tokens.length);
    wide.set(tokens);
    return wide;
  }

  decode(ids: Iterable<number>, options?: DecodeOptions): string {
    return this.#base.decode(this.#text(ids), options);
  }

  *#text(ids: Iterable<number>): Iterable<number> {
    for (const id of ids) if (!this.#isEnd(id)) yield id;
  }

  #isEnd(id: number): boolean {
    return checkedId(id, this.vocabSize) === this.#end;
  }

  stream(): DecodeStream {
    const stream = this.#base.stream();
    return {
      push: (id) => this.#isEnd(id) ? "" : stream.push(id),
      flush: () => stream.flush(),
    };
  }

  characters(id: number): number {
    return this.#isEnd(id) ? 0 : this.#base.characters(id);
  }

  bytesOf(id: number): Uint8Array<ArrayBuffer> {
    return this.#isEnd(id) ? new Uint8Array() : this.#base.bytesOf(id);
  }
}
