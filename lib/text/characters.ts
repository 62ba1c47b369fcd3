/** Characters of a text: the set of distinct characters, and the line and column of a character. */

import { refusal } from "../refusal.ts";

/**
 * Collects the distinct characters of a text that arrives in pieces, and counts its characters and bytes.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Tokenizer } from "@lm/core";
 * import { CharacterSet } from "@lm/core/text";
 *
 * const characters = new CharacterSet();
 * for (const piece of ["caf", "é au ", "lait"]) characters.add(piece);
 * assertEquals([characters.count, characters.bytes], [12, 13]);
 * assertEquals(characters.chars, " acfiltué");
 * assertEquals(Tokenizer.chars(characters).vocabSize, 9);
 * ```
 */
export class CharacterSet {
  /** 1 at each code point that occurs in the text. */
  readonly #present = new Uint8Array(0x110000);
  #held = "";
  #count = 0;
  #bytes = 0;

  /** Number of characters (code points) so far, which is the number of tokens of an `ascii` or `chars` tokenizer. */
  get count(): number {
    return this.#count;
  }

  /** Number of UTF-8 bytes so far, which is the number of tokens of a `bytes` tokenizer. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Adds the next piece. Half a surrogate pair at its end is held until the next piece.
   *
   * @throws {RangeError} if the piece has half a surrogate pair elsewhere
   */
  add(piece: string): void {
    const [text, half] = wholeCharacters(this.#held + piece);
    this.#held = half;
    checkWellFormed(text, "create Tokenizer");
    for (let i = 0; i < text.length; i++) {
      let code = text.charCodeAt(i);
      if (code >= 0xd800 && code < 0xe000) code = text.codePointAt(i++)!;
      this.#present[code] = 1;
      this.#count++;
      this.#bytes += code < 0x80
        ? 1
        : code < 0x800
        ? 2
        : code < 0x10000
        ? 3
        : 4;
    }
  }

  /**
   * Distinct characters, in the order of their code points.
   *
   * @throws {RangeError} if the text ends with half a surrogate pair
   */
  get chars(): string {
    checkWellFormed(this.#held, "create Tokenizer");
    let chars = "";
    this.#present.forEach((present, code) => {
      if (present) chars += String.fromCodePoint(code);
    });
    return chars;
  }
}

/** Splits half a surrogate pair off the end of a piece of text. */
export function wholeCharacters(piece: string): [whole: string, half: string] {
  const last = piece.charCodeAt(piece.length - 1);
  const end = last >= 0xd800 && last < 0xdc00 ? piece.length - 1 : piece.length;
  return [piece.slice(0, end), piece.slice(end)];
}

/** Throws if a text contains half a surrogate pair, which is not a character. */
export function checkWellFormed(
  text: string,
  action: string,
  from?: Place,
): void {
  if (text.isWellFormed()) return;
  const index = text.search(/\p{Surrogate}/u);
  throw refusal(
    RangeError,
    action,
    `${describeCharacter(text, index, from)} is half a surrogate pair`,
  );
}

/** Line and column of a character, both counted from 1; columns count characters. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** Returns the place of the character at an index of a piece that begins at a given place. */
export function placeOf(
  text: string,
  index: number,
  { line, column }: Place = { line: 1, column: 1 },
): Place {
  let lineStart = 0;
  for (;;) {
    const end = text.indexOf("\n", lineStart);
    if (end < 0 || end >= index) break;
    line++;
    column = 1;
    lineStart = end + 1;
  }
  return { line, column: column + [...text.slice(lineStart, index)].length };
}

/** Describes a character and its place, e.g. `character "é" (U+00E9) at line 3, column 14`. */
export function describeCharacter(
  text: string,
  index: number,
  from?: Place,
): string {
  const { line, column } = placeOf(text, index, from);
  const char = String.fromCodePoint(text.codePointAt(index)!);
  return `character ${quoted(char)} at line ${line}, column ${column}`;
}

/** Quotes a character with its code point, e.g. `"é" (U+00E9)`. */
export function quoted(char: string): string {
  const code = char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  return `${JSON.stringify(char)} (U+${code})`;
}
