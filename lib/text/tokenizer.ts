/**
 * Text to token ids and back: three vocabularies, each fixed once it is made.
 *
 * Every text that a tokenizer accepts comes back from it unchanged,
 * `decode(encode(text)) === text`; what it cannot hold it refuses with the place.
 * Nothing here learns merges or knows of special tokens, and nothing reads files or changes
 * text: a byte order mark and CR LF are characters like any other. The command line leaves out
 * the one and reads the other as LF, before it encodes.
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

/** Which vocabulary: 128 ASCII codes, the characters of one text, or 256 bytes. */
export type TokenizerKind = "ascii" | "chars" | "bytes";

/** The plain-data form of a {@linkcode Tokenizer}, as a checkpoint stores it. */
export type TokenizerJSON =
  | { readonly kind: "ascii" | "bytes" }
  | {
    readonly kind: "chars";
    /** Each character of the vocabulary once; a character's place is its id. */
    readonly chars: string;
  };

/** Decodes ids one by one; see {@linkcode Tokenizer.stream}. */
export interface DecodeStream {
  /**
   * Takes the next id and gives the text that is complete with it, maybe none.
   *
   * @throws {RangeError} if the id is not in the vocabulary
   */
  push(id: number): string;
  /** Ends the text: a character cut short becomes U+FFFD. */
  flush(): string;
}

/** Encodes text that arrives in pieces; see {@linkcode Tokenizer.encoder}. */
export interface EncodeStream {
  /**
   * Takes the next piece and returns the ids of the characters that are complete with it. Half a
   * surrogate pair at the end of a piece waits for the next one.
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
  /** Which of the three vocabularies this is. */
  readonly kind: TokenizerKind;
  /** How many ids there are: an id is an integer in [0, vocabSize). */
  readonly vocabSize: number;
  /** Id to character; empty for bytes, whose ids are no characters. */
  readonly #chars: readonly string[];
  /** Code point to id, -1 where there is none; empty for bytes. */
  readonly #ids: Int32Array;

  private constructor(kind: TokenizerKind, chars: readonly string[]) {
    this.kind = kind;
    this.vocabSize = kind === "bytes" ? BYTE_SIZE : chars.length;
    this.#chars = chars;
    this.#ids = idsByCodePoint(chars);
  }

  /** The 128 ASCII codes; a character's id is its code. */
  static ascii(): Tokenizer {
    const codes = Array.from({ length: ASCII_SIZE }, (_, code) => code);
    return new Tokenizer(
      "ascii",
      codes.map((code) => String.fromCharCode(code)),
    );
  }

  /**
   * The distinct characters (Unicode code points) of a text, numbered by code
   * point from 0, as nanoGPT's character-level data sets are.
   *
   * @param text what the vocabulary is taken from; 65 ids for tiny Shakespeare
   * @throws {RangeError} if the text is empty or holds half a surrogate pair
   */
  static chars(text: string | CharacterSet): Tokenizer {
    const characters = typeof text === "string" ? new CharacterSet() : text;
    if (typeof text === "string") characters.add(text);
    const { chars } = characters;
    if (chars === "") {
      throw new RangeError(
        "Cannot create Tokenizer: the text has 0 characters, needs at least 1",
      );
    }
    return new Tokenizer("chars", [...chars]);
  }

  /** The 256 bytes of UTF-8: holds any text, several ids for a character beyond ASCII. */
  static bytes(): Tokenizer {
    return new Tokenizer("bytes", []);
  }

  /**
   * The tokenizer that {@linkcode Tokenizer.toJSON} described.
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

  /** Plain data that {@linkcode Tokenizer.fromJSON} takes; `JSON.stringify` calls it. */
  toJSON(): TokenizerJSON {
    return this.kind === "chars"
      ? { kind: this.kind, chars: this.#chars.join("") }
      : { kind: this.kind };
  }

  /**
   * The ids of a text, in order.
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
   * Encodes a text of any length as its pieces arrive. The ids put together are those that
   * {@linkcode Tokenizer.encode} returns at once, in the smallest elements that hold the
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

  /** Writes the ids of a text and returns how many there are. */
  #encodeInto(text: string, ids: Tokens, from?: Place): number {
    let count = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.codePointAt(i)!;
      const id = this.#ids[code] ?? -1;
      if (id < 0) throw this.#unknownCharacter(text, i, from);
      ids[count++] = id;
      if (code > 0xffff) i++; // a surrogate pair takes two places of the string
    }
    return count;
  }

  #unknownCharacter(text: string, index: number, from?: Place): RangeError {
    const place = describeCharacter(text, index, from);
    if (this.kind === "ascii") {
      return new RangeError(
        `Cannot encode text: ${place} is not one of the ${ASCII_SIZE} ASCII codes\n` +
          "hint: the tokenizers chars and bytes hold it",
      );
    }
    const known = JSON.stringify(this.#chars.slice(0, 100).join(""));
    const more = this.vocabSize > 100 ? " ..." : "";
    return new RangeError(
      `Cannot encode text: ${place} is not one of the ${this.vocabSize} characters known\n` +
        `hint: the text that the tokenizer was made from has these: ${known}${more}`,
    );
  }

  /**
   * The text of some ids. With `bytes`, what is not UTF-8 becomes U+FFFD; for ids
   * that arrive one by one use {@linkcode Tokenizer.stream}.
   *
   * @param ids integers in [0, vocabSize)
   * @param options.signal ends the work when its `throwIfAborted`, called every 4,096 ids, throws
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
   * Decodes ids as they come. With `bytes`, the bytes of a character are held
   * back until it is complete; bytes that cannot be UTF-8 become U+FFFD. The
   * parts put together are what {@linkcode Tokenizer.decode} gives at once.
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
      throw new RangeError(
        `Cannot decode id ${id}: ids are integers from 0 to ${
          this.vocabSize - 1
        }`,
      );
    }
    return id;
  }
}

/**
 * Refuses a tokenizer whose ids are not those of a model.
 *
 * @param task what cannot be done otherwise, as in `write checkpoint`
 * @throws {RangeError} with both sizes
 */
export function checkVocabulary(
  task: string,
  tokenizer: Tokenizer,
  { vocabSize }: { readonly vocabSize: number },
): void {
  if (tokenizer.vocabSize === vocabSize) return;
  throw new RangeError(
    `Cannot ${task}: the tokenizer has ${tokenizer.vocabSize} tokens, the model ${vocabSize}`,
  );
}

/**
 * Returns how many characters the predicted tokens begin: one each, but for bytes, where several may make one.
 *
 * @param targets -1 where none is predicted
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

/** Table from code point to id: one array look-up a character, up to 4.5 MB if emoji occur. */
function idsByCodePoint(chars: readonly string[]): Int32Array {
  const codes = chars.map((char) => char.codePointAt(0)!);
  const size = codes.reduce((most, code) => Math.max(most, code + 1), 0);
  const ids = new Int32Array(size).fill(-1);
  codes.forEach((code, id) => ids[code] = id);
  return ids;
}

function encodeBytes(text: string, from?: Place): Uint8Array {
  // TextEncoder would write U+FFFD for half a pair, and the text would not come back.
  checkWellFormed(text, "Cannot encode text", from);
  return new TextEncoder().encode(text);
}

/** Keeps a leading U+FEFF, which is a character like any other here. */
function utf8Decoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

function checkedChars(chars: unknown): string[] {
  if (typeof chars !== "string") {
    throw unreadable(`chars is ${typeof chars}, not a string`);
  }
  if (chars === "") throw unreadable("chars is empty");
  if (!chars.isWellFormed()) {
    throw unreadable("chars holds half a surrogate pair");
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
  return new SyntaxError(`Cannot read tokenizer: ${reason}`);
}
