/**
 * Tokenizers: text to token ids and back, with four kinds of vocabulary.
 *
 * Encoding is lossless: `decode(encode(text)) === text` for every accepted text. An error names
 * the line and column of a character outside the vocabulary. The name of a special token in a text is
 * ordinary text unless asked for, and a decoded text does not include special tokens. This file reads no files and changes no text: a byte order mark and CR LF are
 * ordinary characters. (The command line drops a byte order mark and reads CR LF as LF before it
 * encodes.)
 */

import { BpeTokenizer } from "./bpe/tokenizer.ts";
import { BpeTrainer } from "./bpe/trainer.ts";
import type { SplitName } from "./bpe/split.ts";
import { EndedTokenizer, endOfText } from "./special.ts";
import {
  type BpeJSON,
  type BpeVocabulary,
  vocabularyOf,
  withEnd,
} from "./bpe/vocabulary.ts";
import { ByteTokenizer } from "./byte_tokenizer.ts";
import {
  type CharactersJSON,
  CharacterTokenizer,
} from "./character_tokenizer.ts";
import type { CharacterSet } from "./characters.ts";
import {
  type DecodeOptions,
  type DecodeStream,
  type EncodeOptions,
  type EncodeStream,
  unreadable,
} from "./token_streams.ts";
import { refusal } from "../refusal.ts";

/** Kind of vocabulary that needs no number: the 128 ASCII codes, the characters of one text, or the 256 bytes. */
export type TokenizerKind = "ascii" | "chars" | "bytes";

/** The plain-data form of a {@linkcode Tokenizer}, as a checkpoint stores it. */
export type TokenizerJSON =
  | (({ readonly kind: "ascii" | "bytes" } | CharactersJSON) & {
    /** True if the last token is `<|endoftext|>`. */
    readonly endOfText?: boolean | undefined;
  })
  | BpeJSON;

/**
 * Turns text into token ids and ids into text. A program may implement it with a vocabulary of its
 * own; a checkpoint can store those that {@linkcode Tokenizer.fromJSON} reads.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Tokenizer } from "@lm/core";
 *
 * const tokenizer = Tokenizer.chars("hello");
 * assertEquals(tokenizer.vocabSize, 4); // e h l o
 * assertEquals(tokenizer.encode("hole"), Int32Array.of(1, 3, 2, 0));
 * assertEquals(tokenizer.decode([1, 3, 2, 0]), "hole");
 * ```
 */
export interface Tokenizer {
  /** Kind of vocabulary: `ascii`, `chars`, `bytes`, `bpe`, or the name of a program's own. */
  readonly kind: string;
  /** Number of ids; an id is an integer in [0, vocabSize). */
  readonly vocabSize: number;
  /** Ids of the tokens that stand for no text, by their names. {@linkcode endOfText} finds the one between documents. */
  readonly specialTokens: ReadonlyMap<string, number>;

  /**
   * Returns the ids of a text, in order.
   *
   * @returns shape (N), each in [0, vocabSize); N is the number of characters
   * (code points), of UTF-8 bytes for `bytes`, and at most as many for `bpe`
   * @param options names of special tokens that the text may contain; none by default
   * @throws {RangeError} if a character is not in the vocabulary: names it, its line and column
   */
  encode(text: string, options?: EncodeOptions): Int32Array;

  /**
   * Returns a stream that encodes a text of any length as its pieces arrive. The concatenated ids
   * equal those of {@linkcode Tokenizer.encode}, in the smallest element type that holds the
   * vocabulary ({@linkcode tokensOf}).
   *
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Tokenizer } from "@lm/core";
   *
   * const encoder = Tokenizer.chars("🎭 or 🎨").encoder();
   * assertEquals(encoder.push("or \ud83c"), Uint8Array.of(1, 2, 0)); // half of 🎭 waits
   * assertEquals(encoder.push("\udfad"), Uint8Array.of(4));
   * assertEquals(encoder.flush(), new Uint8Array());
   * ```
   */
  encoder(): EncodeStream;

  /**
   * Returns the text of some ids, without special tokens. With `bytes` and `bpe`, invalid UTF-8 becomes U+FFFD.
   * For ids that arrive one by one use {@linkcode Tokenizer.stream}.
   *
   * @param ids integers in [0, vocabSize)
   * @throws {RangeError} if an id is not in the vocabulary
   */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;

  /**
   * Returns a stream that decodes ids as they arrive. With `bytes` and `bpe`, the bytes of a
   * character are held until the character is complete, and invalid UTF-8 becomes
   * U+FFFD. The concatenated parts equal the result of {@linkcode Tokenizer.decode}.
   *
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Tokenizer } from "@lm/core";
   *
   * const stream = Tokenizer.bytes().stream();
   * assertEquals(stream.push(0xc3), ""); // the first half of é
   * assertEquals(stream.push(0xa9), "é");
   * assertEquals(stream.flush(), "");
   * ```
   */
  stream(): DecodeStream;

  /** Returns the number of characters that begin in a token: losses are compared per character of the text. */
  characters(id: number): number;

  /**
   * Returns the bytes of UTF-8 that a token stands for; with `bytes` and `bpe` they may be a part of a character.
   * A special token has none.
   *
   * @throws {RangeError} if the id is not in the vocabulary
   */
  bytesOf(id: number): Uint8Array<ArrayBuffer>;

  /** Returns plain data for {@linkcode Tokenizer.fromJSON}; `JSON.stringify` calls this method. */
  toJSON(): TokenizerJSON;
}

/** Options of the makers of tokenizers. */
export interface TokenizerOptions {
  /** True to add the token `<|endoftext|>`, which stands between documents, as the last one. */
  readonly endOfText?: boolean | undefined;
}

/** Options of {@linkcode Tokenizer.bpe}. */
export interface BpeOptions extends TokenizerOptions {
  /** Number of tokens, from 256 to 65,536; `<|endoftext|>` is one of them. */
  readonly vocabSize: number;
  /** Pre-tokenizer; `gpt2` by default. */
  readonly split?: SplitName | undefined;
}

/** Makers of tokenizers. */
export interface TokenizerMakers {
  /** Returns a tokenizer for the 128 ASCII codes; the id of a character is its code. */
  ascii(options?: TokenizerOptions): Tokenizer;

  /**
   * Returns a tokenizer for the distinct characters (Unicode code points) of a
   * text, numbered from 0 by code point, as in nanoGPT's character-level data sets.
   *
   * @param text source of the vocabulary; tiny Shakespeare gives 65 ids
   * @throws {RangeError} if the text is empty or contains half a surrogate pair
   */
  chars(
    text: string | CharacterSet,
    options?: TokenizerOptions,
  ): Tokenizer;

  /** Returns a tokenizer for UTF-8 bytes: it accepts any text, and characters beyond ASCII take several ids. */
  bytes(options?: TokenizerOptions): Tokenizer;

  /**
   * Trains byte pair encoding on a text: ids 0 to 255 are the bytes, and each further token is the
   * most frequent pair of tokens so far. Of pairs with equal counts, the one with the smaller left id is merged first,
   * then the one with the smaller right id. The result accepts any text.
   *
   * @throws {RangeError} if the text has too few pairs of tokens that occur twice
   *
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Tokenizer } from "@lm/core";
   *
   * const tokenizer = Tokenizer.bpe("the cat, the hat, the mat", { vocabSize: 259 });
   * assertEquals(tokenizer.encode("the"), Int32Array.of(258)); // at, he, t + he
   * assertEquals(tokenizer.decode(tokenizer.encode("é")), "é");
   * ```
   */
  bpe(text: string, options: BpeOptions): Tokenizer;

  /**
   * Returns the tokenizer of a byte pair vocabulary.
   *
   * @throws {SyntaxError} if the vocabulary contradicts itself; the message says where
   */
  fromVocabulary(vocabulary: BpeVocabulary): Tokenizer;

  /**
   * Returns the tokenizer that {@linkcode Tokenizer.toJSON} described.
   *
   * @param json a parsed JSON value, not its text
   * @throws {SyntaxError} if it does not describe a tokenizer
   */
  fromJSON(json: unknown): Tokenizer;
}

/** Makes tokenizers. */
export const Tokenizer: TokenizerMakers = {
  ascii: (options) => ended(CharacterTokenizer.ascii(), options),
  chars: (text, options) => ended(CharacterTokenizer.chars(text), options),
  bytes: (options) => ended(new ByteTokenizer(), options),
  bpe(text, { vocabSize, split = "gpt2", endOfText }) {
    const trainer = new BpeTrainer(split);
    trainer.add(text);
    return Tokenizer.fromVocabulary(trainer.train(vocabSize, { endOfText }));
  },
  fromVocabulary: (vocabulary) => new BpeTokenizer(vocabulary),
  fromJSON(json) {
    if (typeof json !== "object" || json === null) {
      throw unreadable(
        `expected an object, got ${json === null ? "null" : typeof json}`,
      );
    }
    const fields = json as Record<string, unknown>;
    const { kind, endOfText = false } = fields;
    if (typeof endOfText !== "boolean") {
      throw unreadable("endOfText is neither true nor false");
    }
    switch (kind) {
      case "ascii":
        return Tokenizer.ascii({ endOfText });
      case "bytes":
        return Tokenizer.bytes({ endOfText });
      case "chars":
        return ended(CharacterTokenizer.fromChars(fields["chars"]), {
          endOfText,
        });
      case "bpe":
        return new BpeTokenizer(vocabularyOf(fields));
      default:
        throw unreadable(
          `kind is ${
            JSON.stringify(kind)
          }, not "ascii", "chars", "bytes" or "bpe"`,
        );
    }
  },
};

function ended(
  tokenizer: CharacterTokenizer | ByteTokenizer,
  { endOfText = false }: TokenizerOptions = {},
): Tokenizer {
  return endOfText ? new EndedTokenizer(tokenizer) : tokenizer;
}

/** Returns a tokenizer that has a token between documents: the same one if it has one, else with `<|endoftext|>` as its last. */
export function withEndOfText(tokenizer: Tokenizer): Tokenizer {
  if (endOfText(tokenizer) !== undefined) return tokenizer;
  const json = tokenizer.toJSON();
  if (json.kind !== "bpe") {
    return Tokenizer.fromJSON({ ...json, endOfText: true });
  }
  return Tokenizer.fromVocabulary(withEnd(vocabularyOf({ ...json })));
}

/**
 * Throws if the vocabulary of a tokenizer does not fit a model.
 *
 * @param task the task that would fail, e.g. `write checkpoint`
 * @throws {RangeError} if the sizes differ; the message names both
 */
export function checkVocabulary(
  task: string,
  tokenizer: Tokenizer,
  { vocabSize }: { readonly vocabSize: number },
): void {
  if (tokenizer.vocabSize === vocabSize) return;
  throw refusal(
    RangeError,
    task,
    `the tokenizer has ${tokenizer.vocabSize} tokens, the model ${vocabSize}`,
  );
}

/**
 * Returns the number of characters that the predicted tokens begin. It is one per token where tokens are
 * characters; with `bytes` a character may take several tokens, with `bpe` a token may be several characters.
 *
 * @param targets token ids; -1 where no token is predicted
 */
export function charactersIn(
  tokenizer: Tokenizer | undefined,
  targets: Int32Array,
): number {
  let count = 0;
  for (const token of targets) {
    if (token >= 0) count += tokenizer?.characters(token) ?? 1;
  }
  return count;
}
