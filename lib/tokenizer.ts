/**
 * Text to token ids and back: three vocabularies, each fixed once it is made.
 *
 * Every text that a tokenizer accepts comes back from it unchanged,
 * `decode(encode(text)) === text`; what it cannot hold it refuses with the place.
 * Nothing here learns merges or knows of special tokens, and nothing reads files.
 */

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

/** Token ids, shape (N), in an array whose elements hold the vocabulary: see {@linkcode tokensOf}. */
export type Tokens = Uint8Array | Uint16Array | Int32Array;

/**
 * Makes room for tokens in the smallest elements that hold every id of a vocabulary: 1 byte
 * up to 256 ids, 2 bytes up to 65,536, else 4.
 *
 * @param vocabSize ids are integers in [0, vocabSize)
 * @param length how many tokens
 * @throws {RangeError} if the engine has no arrays of that length
 */
export function tokensOf(vocabSize: number, length: number): Tokens {
  const Elements = vocabSize <= 2 ** 8
    ? Uint8Array
    : vocabSize <= 2 ** 16
    ? Uint16Array
    : Int32Array;
  try {
    return new Elements(length);
  } catch (cause) {
    throw new RangeError(
      `Cannot hold ${length} tokens of ${Elements.BYTES_PER_ELEMENT} bytes: no memory of ${
        length * Elements.BYTES_PER_ELEMENT
      } bytes could be had`,
      { cause },
    );
  }
}

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
  static chars(text: string): Tokenizer {
    if (text === "") {
      throw new RangeError(
        "Cannot create Tokenizer: the text has 0 characters, needs at least 1",
      );
    }
    checkWellFormed(text, "Cannot create Tokenizer");
    const codes = [...new Set(text)].map((char) => char.codePointAt(0)!);
    codes.sort((a, b) => a - b);
    return new Tokenizer(
      "chars",
      codes.map((code) => String.fromCodePoint(code)),
    );
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
    return this.kind === "bytes" ? encodeBytes(text) : this.#encodeChars(text);
  }

  #encodeChars(text: string): Int32Array {
    const ids = new Int32Array(text.length);
    let count = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.codePointAt(i)!;
      const id = this.#ids[code] ?? -1;
      if (id < 0) throw this.#unknownCharacter(text, i);
      ids[count++] = id;
      if (code > 0xffff) i++; // a surrogate pair takes two places of the string
    }
    return count === text.length ? ids : ids.slice(0, count);
  }

  #unknownCharacter(text: string, index: number): RangeError {
    const place = describeCharacter(text, index);
    if (this.kind === "ascii") {
      return new RangeError(
        `Cannot encode text: ${place} is not one of the ${ASCII_SIZE} ASCII codes\n` +
          "hint: the tokenizers chars and bytes hold it",
      );
    }
    const known = JSON.stringify(this.#chars.slice(0, 100).join(""));
    const more = this.vocabSize > 100 ? " …" : "";
    return new RangeError(
      `Cannot encode text: ${place} is not one of the ${this.vocabSize} characters known\n` +
        `hint: known are those of the text the tokenizer was made from: ${known}${more}`,
    );
  }

  /**
   * The text of some ids. With `bytes`, what is not UTF-8 becomes U+FFFD; for ids
   * that arrive one by one use {@linkcode Tokenizer.stream}.
   *
   * @param ids integers in [0, vocabSize)
   * @throws {RangeError} if an id is not in the vocabulary
   */
  decode(ids: Iterable<number>): string {
    if (this.kind === "bytes") {
      return utf8Decoder().decode(
        Uint8Array.from(ids, (id) => this.#checkedId(id)),
      );
    }
    return Array.from(ids, (id) => this.#chars[this.#checkedId(id)]!).join("");
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

/** Table from code point to id: one array look-up a character, up to 4.5 MB if emoji occur. */
function idsByCodePoint(chars: readonly string[]): Int32Array {
  const codes = chars.map((char) => char.codePointAt(0)!);
  const size = codes.reduce((most, code) => Math.max(most, code + 1), 0);
  const ids = new Int32Array(size).fill(-1);
  codes.forEach((code, id) => ids[code] = id);
  return ids;
}

function encodeBytes(text: string): Int32Array {
  // TextEncoder would write U+FFFD for half a pair, and the text would not come back.
  checkWellFormed(text, "Cannot encode text");
  return Int32Array.from(new TextEncoder().encode(text));
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

function checkWellFormed(text: string, task: string): void {
  if (text.isWellFormed()) return;
  const index = text.search(/\p{Surrogate}/u);
  throw new RangeError(
    `${task}: ${describeCharacter(text, index)} is half a surrogate pair`,
  );
}

/** As in `character "é" (U+00E9) at line 3, column 14`; both count from 1, columns in characters. */
function describeCharacter(text: string, index: number): string {
  const lineStart = index === 0 ? 0 : text.lastIndexOf("\n", index - 1) + 1;
  const line = text.slice(0, lineStart).split("\n").length;
  const column = [...text.slice(lineStart, index)].length + 1;
  const char = String.fromCodePoint(text.codePointAt(index)!);
  return `character ${quoted(char)} at line ${line}, column ${column}`;
}

function quoted(char: string): string {
  const code = char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  return `${JSON.stringify(char)} (U+${code})`;
}
