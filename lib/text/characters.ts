/** Characters of text: which ones it has, and where in it one stands. */

/**
 * Collects the characters of a text that arrives in pieces, as a vocabulary, and counts them.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { CharacterSet, Tokenizer } from "@lm/core";
 *
 * const characters = new CharacterSet();
 * for (const piece of ["caf", "é au ", "lait"]) characters.add(piece);
 * assertEquals([characters.count, characters.bytes], [12, 13]);
 * assertEquals(characters.chars, " acfiltué");
 * assertEquals(Tokenizer.chars(characters).vocabSize, 9);
 * ```
 */
export class CharacterSet {
  /** By code point: 1 if the text has it. */
  readonly #present = new Uint8Array(0x110000);
  #held = "";
  #count = 0;
  #bytes = 0;

  /** Characters (code points) so far: the tokens of an `ascii` or `chars` tokenizer. */
  get count(): number {
    return this.#count;
  }

  /** Bytes in UTF-8 so far: the tokens of a `bytes` tokenizer. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes the next piece. Half a surrogate pair at its end waits for the next one.
   *
   * @throws {RangeError} if the piece holds half a surrogate pair elsewhere
   */
  add(piece: string): void {
    const [text, half] = wholeCharacters(this.#held + piece);
    this.#held = half;
    checkWellFormed(text, "Cannot create Tokenizer");
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
   * The characters, each once, in the order of their code points.
   *
   * @throws {RangeError} if the text ends with half a surrogate pair
   */
  get chars(): string {
    checkWellFormed(this.#held, "Cannot create Tokenizer");
    let chars = "";
    this.#present.forEach((present, code) => {
      if (present) chars += String.fromCodePoint(code);
    });
    return chars;
  }
}

/** Cuts off the half of a surrogate pair that ends a piece of text. */
export function wholeCharacters(piece: string): [whole: string, half: string] {
  const last = piece.charCodeAt(piece.length - 1);
  const end = last >= 0xd800 && last < 0xdc00 ? piece.length - 1 : piece.length;
  return [piece.slice(0, end), piece.slice(end)];
}

/** Refuses half a surrogate pair, which is no character. */
export function checkWellFormed(
  text: string,
  task: string,
  from?: Place,
): void {
  if (text.isWellFormed()) return;
  const index = text.search(/\p{Surrogate}/u);
  throw new RangeError(
    `${task}: ${describeCharacter(text, index, from)} is half a surrogate pair`,
  );
}

/** Where a character is; both count from 1, columns in characters. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** Where the character at an index of a piece is, if the piece begins at a place. */
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

/** As in `character "é" (U+00E9) at line 3, column 14`. */
export function describeCharacter(
  text: string,
  index: number,
  from?: Place,
): string {
  const { line, column } = placeOf(text, index, from);
  const char = String.fromCodePoint(text.codePointAt(index)!);
  return `character ${quoted(char)} at line ${line}, column ${column}`;
}

/** As in `"é" (U+00E9)`. */
export function quoted(char: string): string {
  const code = char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  return `${JSON.stringify(char)} (U+${code})`;
}
