/** The tokenizers `ascii` and `chars`: an id stands for one character. */

import {
  CharacterSet,
  describeCharacter,
  type Place,
  quoted,
} from "./characters.ts";
import {
  checkedId,
  decodeInParts,
  type DecodeOptions,
  type DecodeStream,
  type EncodeStream,
  encodeStream,
  unreadable,
} from "./token_streams.ts";
import { type Tokens, tokensOf } from "./tokens.ts";
import { refusal, refuser } from "../refusal.ts";

const cannotEncode = refuser(RangeError, "encode text");

const ASCII_SIZE = 128;

/** The plain-data form of `chars`. */
export interface CharactersJSON {
  /** Kind of tokenizer. */
  readonly kind: "chars";
  /** Characters of the vocabulary, each once, in the order of their ids. */
  readonly chars: string;
}

/** Turns characters into ids by a table. */
export class CharacterTokenizer {
  readonly kind: "ascii" | "chars";
  readonly specialTokens: ReadonlyMap<string, number> = new Map();
  /** Id to character. */
  readonly #chars: readonly string[];
  /** Code point to id, -1 if it has none. */
  readonly #ids: Int32Array;

  private constructor(kind: "ascii" | "chars", chars: readonly string[]) {
    this.kind = kind;
    this.#chars = chars;
    this.#ids = idsByCodePoint(chars);
  }

  static ascii(): CharacterTokenizer {
    const codes = Array.from({ length: ASCII_SIZE }, (_, code) => code);
    return new CharacterTokenizer(
      "ascii",
      codes.map((code) => String.fromCharCode(code)),
    );
  }

  static chars(text: string | CharacterSet): CharacterTokenizer {
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
    return new CharacterTokenizer("chars", [...chars]);
  }

  /** Reads the field `chars` of {@linkcode CharactersJSON}. */
  static fromChars(chars: unknown): CharacterTokenizer {
    return new CharacterTokenizer("chars", checkedChars(chars));
  }

  get vocabSize(): number {
    return this.#chars.length;
  }

  toJSON(): { readonly kind: "ascii" } | CharactersJSON {
    const { kind } = this;
    return kind === "chars" ? { kind, chars: this.#chars.join("") } : { kind };
  }

  encode(text: string): Int32Array {
    const ids = new Int32Array(text.length);
    const count = this.#encodeInto(text, ids);
    return count === text.length ? ids : ids.slice(0, count);
  }

  encoder(): EncodeStream {
    return encodeStream((text, from) => {
      const ids = tokensOf(this.vocabSize, text.length);
      return ids.subarray(0, this.#encodeInto(text, ids, from));
    });
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

  decode(ids: Iterable<number>, options?: DecodeOptions): string {
    const textOf = (part: readonly number[]) =>
      part.map((id) => this.#charOf(id)).join("");
    return decodeInParts(ids, textOf, options);
  }

  stream(): DecodeStream {
    return { push: (id) => this.#charOf(id), flush: () => "" };
  }

  characters(_id: number): number {
    return 1;
  }

  bytesOf(id: number): Uint8Array<ArrayBuffer> {
    return new TextEncoder().encode(this.#charOf(id));
  }

  #charOf(id: number): string {
    return this.#chars[checkedId(id, this.vocabSize)]!;
  }
}

/** Returns a table from code point to id: encoding takes one array look-up per character. Up to 4.5 MB with emoji. */
function idsByCodePoint(chars: readonly string[]): Int32Array {
  const codes = chars.map((char) => char.codePointAt(0)!);
  const size = codes.reduce((most, code) => Math.max(most, code + 1), 0);
  const ids = new Int32Array(size).fill(-1);
  codes.forEach((code, id) => ids[code] = id);
  return ids;
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
