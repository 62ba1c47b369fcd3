/** The tokenizer `bpe`: byte-level byte pair encoding, which accepts any text. */

import { beginsCharacter } from "../byte_tokenizer.ts";
import {
  checkedId,
  decodeInParts,
  type DecodeOptions,
  type DecodeStream,
  type EncodeOptions,
  type EncodeStream,
  utf8Decoder,
} from "../token_streams.ts";
import { encodeWithSpecial } from "../special.ts";
import { type Tokens, tokensOf } from "../tokens.ts";
import { Merger } from "./merger.ts";
import { Splitter } from "./split.ts";
import {
  type BpeJSON,
  type BpeVocabulary,
  bytesOf,
  describeVocabulary,
} from "./vocabulary.ts";

/** Turns text into pieces, and their bytes into tokens by merging pairs. */
export class BpeTokenizer {
  readonly kind = "bpe";
  readonly vocabSize: number;
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly #vocabulary: BpeVocabulary;
  readonly #merger: Merger;
  readonly #special: ReadonlySet<number>;

  /** @throws {SyntaxError} if the vocabulary contradicts itself; the message says where */
  constructor(vocabulary: BpeVocabulary) {
    const { tokens, special } = vocabulary;
    this.#vocabulary = vocabulary;
    this.#merger = new Merger(vocabulary);
    this.vocabSize = tokens.length;
    this.#special = new Set(special);
    const nameOf = (id: number) => utf8Decoder().decode(bytesOf(tokens[id]!));
    this.specialTokens = new Map(special.map((id) => [nameOf(id), id]));
  }

  toJSON(): BpeJSON {
    return describeVocabulary(this.#vocabulary);
  }

  encode(text: string, { allowedSpecial }: EncodeOptions = {}): Int32Array {
    const encode = (text: string) => {
      const splitter = this.#splitter();
      const pieces = [...splitter.push(text), ...splitter.flush()];
      return Int32Array.from(this.#idsOf(pieces));
    };
    if (allowedSpecial === undefined) return encode(text);
    const tokens = { special: this.specialTokens, allowed: allowedSpecial };
    return encodeWithSpecial(text, tokens, encode);
  }

  encoder(): EncodeStream {
    const splitter = this.#splitter();
    const tokens = (pieces: readonly string[]): Tokens => {
      const ids = this.#idsOf(pieces);
      const tokens = tokensOf(this.vocabSize, ids.length);
      tokens.set(ids);
      return tokens;
    };
    return {
      push: (piece) => tokens(splitter.push(piece)),
      flush: () => tokens(splitter.flush()),
    };
  }

  #splitter(): Splitter {
    return new Splitter(this.#vocabulary.split, "encode text");
  }

  #idsOf(pieces: readonly string[]): number[] {
    const all: number[] = [];
    for (const piece of pieces) {
      for (const id of this.#merger.encode(piece)) all.push(id);
    }
    return all;
  }

  decode(ids: Iterable<number>, options?: DecodeOptions): string {
    const decoder = utf8Decoder();
    const textOf = (part: readonly number[]) => {
      const bytes = part.map((id) => this.#bytes(id)).join("");
      return decoder.decode(bytesOf(bytes), { stream: true });
    };
    return decodeInParts(ids, textOf, options) + decoder.decode();
  }

  stream(): DecodeStream {
    const decoder = utf8Decoder();
    return {
      push: (id) => decoder.decode(this.bytesOf(id), { stream: true }),
      flush: () => decoder.decode(),
    };
  }

  characters(id: number): number {
    const bytes = this.#bytes(id);
    let count = 0;
    for (let i = 0; i < bytes.length; i++) {
      if (beginsCharacter(bytes.charCodeAt(i))) count++;
    }
    return count;
  }

  bytesOf(id: number): Uint8Array<ArrayBuffer> {
    return bytesOf(this.#bytes(id));
  }

  /** Returns the bytes of a token, each in U+0000 to U+00FF; a special token has none. */
  #bytes(id: number): string {
    const token = this.#vocabulary.tokens[checkedId(id, this.vocabSize)]!;
    return this.#special.has(id) ? "" : token;
  }
}
