/** Parts that all tokenizers share: their two streams, the check of an id, and the decoder of UTF-8. */

import { type Place, placeOf, wholeCharacters } from "./characters.ts";
import type { Tokens } from "./tokens.ts";
import { refusal } from "../refusal.ts";

/** Decodes ids one by one; see {@linkcode Tokenizer.stream}. */
export interface DecodeStream {
  /**
   * Takes the next id and returns the text that the id completes, possibly none.
   *
   * @throws {RangeError} if the id is not in the vocabulary
   */
  push(id: number): string;
  /** Ends the text and returns the rest; an incomplete character becomes U+FFFD. */
  flush(): string;
}

/** Encodes text that arrives in pieces; see {@linkcode Tokenizer.encoder}. */
export interface EncodeStream {
  /**
   * Takes the next piece and returns the ids that no later text can change. Half a surrogate pair at the
   * end of a piece is held until the next piece; `bpe` also holds what may be the beginning of a longer word.
   *
   * @throws {RangeError} if a character is not in the vocabulary: names it, its line and column
   */
  push(piece: string): Tokens;
  /**
   * Ends the text and returns the ids of what was held.
   *
   * @throws {RangeError} if the text ends with half a surrogate pair
   */
  flush(): Tokens;
}

/**
 * Returns a stream of a tokenizer whose ids depend on one character each.
 *
 * @param encode encodes whole characters; an error names their place in the text, which begins at `from`
 */
export function encodeStream(
  encode: (text: string, from: Place) => Tokens,
): EncodeStream {
  let held = "";
  let place: Place = { line: 1, column: 1 };
  const advance = (text: string) => {
    const ids = encode(text, place);
    place = placeOf(text, text.length, place);
    return ids;
  };
  return {
    push: (piece) => {
      const [whole, half] = wholeCharacters(held + piece);
      held = half;
      return advance(whole);
    },
    flush: () => {
      const rest = held;
      held = "";
      return advance(rest);
    },
  };
}

/** Options of {@linkcode Tokenizer.encode}. */
export interface EncodeOptions {
  /**
   * Names of special tokens that stand for the tokens where the text has them, or `all`. By default they are ordinary
   * text, so that a text from elsewhere yields no special token.
   */
  readonly allowedSpecial?: "all" | Iterable<string> | undefined;
}

/** Options of {@linkcode Tokenizer.decode}. */
export interface DecodeOptions {
  /** Signal that aborts the work; checked every 4,096 ids. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Returns an id of a vocabulary as it is.
 *
 * @throws {RangeError} if it is not in the vocabulary
 */
export function checkedId(id: number, vocabSize: number): number {
  if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
    throw refusal(
      RangeError,
      `decode id ${id}`,
      `ids are integers from 0 to ${vocabSize - 1}`,
    );
  }
  return id;
}

/** Returns the text of ids in parts of 4,096: an array of all characters would take 8 bytes for each. */
export function decodeInParts(
  ids: Iterable<number>,
  textOf: (part: readonly number[]) => string,
  { signal }: DecodeOptions = {},
): string {
  let text = "";
  let part: number[] = [];
  for (const id of ids) {
    part.push(id);
    if (part.length < 4096) continue;
    signal?.throwIfAborted();
    text += textOf(part);
    part = [];
  }
  return text + textOf(part);
}

/** Returns a decoder that keeps a leading U+FEFF, which is an ordinary character here. */
export function utf8Decoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

/** Returns the error that stored data does not describe a tokenizer. */
export function unreadable(reason: string): SyntaxError {
  return refusal(SyntaxError, "read tokenizer", reason);
}
