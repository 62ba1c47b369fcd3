/**
 * Tokenizers: text to token ids and back, with three kinds of fixed vocabulary.
 *
 * Encoding is lossless: `decode(encode(text)) === text` for every accepted text. An error names
 * the line and column of a character outside the vocabulary. There are no learned merges and no
 * special tokens. This file reads no files and changes no text: a byte order mark and CR LF are
 * ordinary characters. (The command line drops a byte order mark and reads CR LF as LF before it
 * encodes.)
 */

import {
  CharacterSet,
  checkWellFormed,
  describeCharacter,
  type Place,
  placeOf,
  quoted,
  wholeCharacters,
} from "./characters.ts";
import { type Tokens, tokensOf } from "./tokens.ts";
import { refusal, refuser } from "../refusal.ts";

const cannotEncode = refuser(RangeError, "encode text");

/** Kind of vocabulary: the 128 ASCII codes, the characters of one text, or the 256 bytes. */
export type TokenizerKind = "ascii" | "chars" | "bytes";

/** The plain-data form of a {@linkcode Tokenizer}, as a checkpoint stores it. */
export type TokenizerJSON =
  | { readonly kind: "ascii" | "bytes" }
  | {
    readonly kind: "chars";
    /** Characters of the vocabulary, each once, in the order of their ids. */
    readonly chars: string;
  };

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
   * Takes the next piece and returns the ids of the characters that the piece completes. Half a
   * surrogate pair at the end of a piece is held until the next piece.
   *
   * @throws {RangeError} if a character is not in the vocabulary: names it, its line and column
   */
  push(piece: string): Tokens;
  /**
   * Ends the text.
   *
   * @throws {RangeError} if it ends with half a surrogate pair
   */
  flush(): void;
}

const ASCII_SIZE = 128;
const BYTE_SIZE = 256;

/**
 * Turns text into token ids and ids into text.
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
export class Tokenizer {
  /** Kind of vocabulary. */
  readonly kind: TokenizerKind;
  /** Number of ids; an id is an integer in [0, vocabSize). */
  readonly vocabSize: number;
  /** Id to character; empty for `bytes`, whose ids are not characters. */
  readonly #chars: readonly string[];
  /** Code point to id, -1 if it has none; empty for `bytes`. */
  readonly #ids: Int32Array;

  private constructor(kind: TokenizerKind, chars: readonly string[]) {
    this.kind = kind;
    this.vocabSize = kind === "bytes" ? BYTE_SIZE : chars.length;
    this.#chars = chars;
    this.#ids = idsByCodePoint(chars);
  }

  /** Returns a tokenizer for the 128 ASCII codes; the id of a character is its code. */
  static ascii(): Tokenizer {
    const codes = Array.from({ length: ASCII_SIZE }, (_, code) => code);
    return new Tokenizer(
      "ascii",
      codes.map((code) => String.fromCharCode(code)),
    );
  }

  /**
   * Returns a tokenizer for the distinct characters (Unicode code points) of a
   * text, numbered from 0 by code point, as in nanoGPT's character-level data sets.
   *
   * @param text source of the vocabulary; tiny Shakespeare gives 65 ids
   * @throws {RangeError} if the text is empty or contains half a surrogate pair
   */
  static chars(text: string | CharacterSet): Tokenizer {
    const characters = typeof text === "string" ? new CharacterSet() : text;
    if (typeof text === "string") characters.add(text);
    const { chars } = characters;
    if (chars === "") {
      throw refusal(
        RangeError,
        "create Tokenizer",
        "the text has 0 characters, needs at least 1",
      );
    }
    return new Tokenizer("chars", [...chars]);
  }

  /** Returns a tokenizer for UTF-8 bytes: it accepts any text, and characters beyond ASCII take several ids. */
  static bytes(): Tokenizer {
    return new Tokenizer("bytes", []);
  }

  /**
   * Returns the tokenizer that {@linkcode Tokenizer.toJSON} described.
   *
   * @param json a parsed JSON value, not its text
   * @throws {SyntaxError} if it does not describe a tokenizer
   */
  static fromJSON(json: unknown): Tokenizer {
    if (typeof json !== "object" || json === null) {
      throw unreadable(
        `expected an object, got ${json === null ? "null" : typeof json}`,
      );
    }
    const { kind, chars } = json as Record<string, unknown>;
    switch (kind) {
      case "ascii":
        return Tokenizer.ascii();
      case "bytes":
        return Tokenizer.bytes();
      case "chars":
        return new Tokenizer("chars", checkedChars(chars));
      default:
        throw unreadable(
          `kind is ${JSON.stringify(kind)}, not "ascii", "chars" or "bytes"`,
        );
    }
  }

  /** Returns plain data for {@linkcode Tokenizer.fromJSON}; `JSON.stringify` calls this method. */
  toJSON(): TokenizerJSON {
    return this.kind === "chars"
      ? { kind: this.kind, chars: this.#chars.join("") }
      : { kind: this.kind };
  }

  /**
   * Returns the ids of a text, in order.
   *
   * @returns shape (N), each in [0, vocabSize); N is the number of characters
   * (code points), or of UTF-8 bytes for `bytes`
   * @throws {RangeError} if a character is not in the vocabulary: names it, its line and column
   */
  encode(text: string): Int32Array {
    if (this.kind === "bytes") return Int32Array.from(encodeBytes(text));
    const ids = new Int32Array(text.length);
    const count = this.#encodeInto(text, ids);
    return count === text.length ? ids : ids.slice(0, count);
  }

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
   * encoder.flush();
   * ```
   */
  encoder(): EncodeStream {
    let held = "";
    let place: Place = { line: 1, column: 1 };
    const encode = (text: string): Tokens => {
      let ids: Tokens;
      if (this.kind === "bytes") ids = encodeBytes(text, place);
      else {
        ids = tokensOf(this.vocabSize, text.length);
        ids = ids.subarray(0, this.#encodeInto(text, ids, place));
      }
      place = placeOf(text, text.length, place);
      return ids;
    };
    return {
      push: (piece) => {
        const [whole, half] = wholeCharacters(held + piece);
        held = half;
        return encode(whole);
      },
      flush: () => {
        const rest = held;
        held = "";
        encode(rest);
      },
    };
  }

  /** Writes the ids of a text into an array and returns their number. */
  #encodeInto(text: string, ids: Tokens, from?: Place): number {
    let count = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.codePointAt(i)!;
      const id = this.#ids[code] ?? -1;
      if (id < 0) throw this.#unknownCharacter(text, i, from);
      ids[count++] = id;
      if (code > 0xffff) i++; // a surrogate pair is two units of the string
    }
    return count;
  }

  #unknownCharacter(text: string, index: number, from?: Place): RangeError {
    const place = describeCharacter(text, index, from);
    if (this.kind === "ascii") {
      return cannotEncode(
        `${place} is not one of the ${ASCII_SIZE} ASCII codes`,
        { hint: "the tokenizers chars and bytes accept it" },
      );
    }
    const known = JSON.stringify(this.#chars.slice(0, 100).join(""));
    const more = this.vocabSize > 100 ? " ..." : "";
    return cannotEncode(
      `${place} is not one of the ${this.vocabSize} characters known`,
      {
        hint: `the vocabulary of the tokenizer: ${known}${more}`,
      },
    );
  }

  /**
   * Returns the text of some ids. With `bytes`, invalid UTF-8 becomes U+FFFD. For ids
   * that arrive one by one use {@linkcode Tokenizer.stream}.
   *
   * @param ids integers in [0, vocabSize)
   * @param options.signal aborts the work; checked every 4,096 ids
   * @throws {RangeError} if an id is not in the vocabulary
   */
  decode(
    ids: Iterable<number>,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): string {
    const decoder = this.kind === "bytes" ? utf8Decoder() : undefined;
    const textOf = (part: readonly number[]) =>
      decoder?.decode(Uint8Array.from(part), { stream: true }) ??
        part.map((id) => this.#chars[id]!).join("");
    // In parts: an array of all characters would take 8 bytes for each.
    let text = "";
    let part: number[] = [];
    for (const id of ids) {
      part.push(this.#checkedId(id));
      if (part.length < 4096) continue;
      signal?.throwIfAborted();
      text += textOf(part);
      part = [];
    }
    return text + textOf(part) + (decoder?.decode() ?? "");
  }

  /**
   * Returns a stream that decodes ids as they arrive. With `bytes`, the bytes of a
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
  stream(): DecodeStream {
    if (this.kind !== "bytes") {
      return {
        push: (id) => this.#chars[this.#checkedId(id)]!,
        flush: () => "",
      };
    }
    const decoder = utf8Decoder();
    return {
      push: (id) =>
        decoder.decode(Uint8Array.of(this.#checkedId(id)), { stream: true }),
      flush: () => decoder.decode(),
    };
  }

  #checkedId(id: number): number {
    if (!Number.isInteger(id) || id < 0 || id >= this.vocabSize) {
      throw refusal(
        RangeError,
        `decode id ${id}`,
        `ids are integers from 0 to ${this.vocabSize - 1}`,
      );
    }
    return id;
  }
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
 * Returns the number of characters that the predicted tokens begin. It is one per token, except with `bytes`,
 * where a character may take several tokens.
 *
 * @param targets token ids; -1 where no token is predicted
 */
export function charactersIn(
  tokenizer: Tokenizer | undefined,
  targets: Int32Array,
): number {
  let count = 0;
  // Bytes 10xxxxxx continue a character (RFC 3629).
  const continued = tokenizer?.kind === "bytes" ? 0x80 : NaN;
  for (const token of targets) {
    if (token >= 0 && (token & 0xc0) !== continued) count++;
  }
  return count;
}

/** Returns a table from code point to id: encoding takes one array look-up per character. Up to 4.5 MB with emoji. */
function idsByCodePoint(chars: readonly string[]): Int32Array {
  const codes = chars.map((char) => char.codePointAt(0)!);
  const size = codes.reduce((most, code) => Math.max(most, code + 1), 0);
  const ids = new Int32Array(size).fill(-1);
  codes.forEach((code, id) => ids[code] = id);
  return ids;
}

function encodeBytes(text: string, from?: Place): Uint8Array {
  // TextEncoder would write U+FFFD for half a surrogate pair, and decoding would not restore the text.
  checkWellFormed(text, "encode text", from);
  return new TextEncoder().encode(text);
}

/** Returns a decoder that keeps a leading U+FEFF, which is an ordinary character here. */
function utf8Decoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

function checkedChars(chars: unknown): string[] {
  if (typeof chars !== "string") {
    throw unreadable(`chars is ${typeof chars}, not a string`);
  }
  if (chars === "") throw unreadable("chars is empty");
  if (!chars.isWellFormed()) {
    throw unreadable("chars contains half a surrogate pair");
  }
  const list = [...chars];
  const seen = new Set<string>();
  for (const char of list) {
    if (seen.has(char)) throw unreadable(`chars holds ${quoted(char)} twice`);
    seen.add(char);
  }
  return list;
}

function unreadable(reason: string): SyntaxError {
  return refusal(SyntaxError, "read tokenizer", reason);
}
