/**
 * A parser for the JSON header of a safetensors file, which has exactly this
 * shape: name → {dtype, shape, data_offsets}, and "__metadata__" → {string: string}.
 *
 * `JSON.parse` would suffice for valid files. In invalid files it silently keeps
 * the last of two equal keys, rounds large integers, and builds arbitrary objects
 * before they can be checked. `safetensors.ts` checks element types and compares
 * offsets with the data.
 */

import { refusal } from "../refusal.ts";

/** Header entry of one array. */
export interface HeaderEntry {
  /** Name of the element type, not yet validated. */
  readonly dtype: string;
  /** Lengths of the dimensions, at least 0; their product is a safe integer. */
  readonly shape: readonly number[];
  /** Offset of the first byte of the array's data, from the end of the header. */
  readonly begin: number;
  /** Offset of the byte after the last. */
  readonly end: number;
}

/** Arrays and metadata of a header. */
export interface Header {
  /** Arrays by name, in the order of the header. */
  readonly entries: ReadonlyMap<string, HeaderEntry>;
  /** `__metadata__`, an object without prototype; empty if the header has none. */
  readonly metadata: Record<string, string>;
}

/**
 * Parses a header.
 *
 * @param bytes the bytes of the header only
 * @throws {SyntaxError} `Cannot read safetensors: <reason>` if the header is invalid
 */
export function parseHeader(bytes: Uint8Array): Header {
  const reader = new HeaderReader(decodeUtf8(bytes));
  const entries = new Map<string, HeaderEntry>();
  let metadata: Record<string, string> = Object.create(null);
  reader.object((name) => {
    if (name === "__metadata__") metadata = readMetadata(reader);
    else entries.set(name, readEntry(reader, name));
  });
  reader.end();
  return { entries, metadata };
}

function readMetadata(reader: HeaderReader): Record<string, string> {
  const metadata: Record<string, string> = Object.create(null);
  reader.object((key) => metadata[key] = reader.string());
  return metadata;
}

function readEntry(reader: HeaderReader, name: string): HeaderEntry {
  const entry: { dtype?: string; shape?: number[]; offsets?: number[] } = {};
  reader.object((key) => {
    if (key === "dtype") entry.dtype = reader.string();
    else if (key === "shape") entry.shape = reader.integers();
    else if (key === "data_offsets") entry.offsets = reader.integers();
    else throw unreadable(`${quote(name)} has the unknown key ${quote(key)}`);
  });
  const { dtype, shape, offsets } = entry;
  if (dtype === undefined) throw unreadable(`${quote(name)} has no dtype`);
  if (shape === undefined) throw unreadable(`${quote(name)} has no shape`);
  if (offsets === undefined) {
    throw unreadable(`${quote(name)} has no data_offsets`);
  }
  checkCountable(name, shape);
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || offsets.length > 2) {
    throw unreadable(
      `${quote(name)} has ${offsets.length} data_offsets, not 2`,
    );
  }
  return { dtype, shape, begin, end };
}

/** Throws if the product of a shape is too large, even before a 0 in the shape, like the format's own reader. */
function checkCountable(name: string, shape: readonly number[]): void {
  let count = 1;
  for (const length of shape) {
    count *= length;
    if (!Number.isSafeInteger(count)) {
      throw unreadable(
        `${quote(name)} has shape [${
          clip(String(shape))
        }], more elements than can be counted`,
      );
    }
  }
}

/** Reads values from a JSON text from left to right; nesting is only as deep as the caller asks for. */
class HeaderReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    // The format requires the brace as the first character, without space before it.
    if (text[0] !== "{") throw this.#unexpected('"{"');
  }

  /** Reads an object. Calls `readValue` at each value, and `readValue` must read the value. */
  object(readValue: (key: string) => void): void {
    const seen = new Set<string>();
    this.#expect("{");
    if (this.#skip("}")) return;
    do {
      const key = this.string();
      if (seen.has(key)) {
        throw unreadable(`the key ${quote(key)} occurs twice in an object`);
      }
      seen.add(key);
      this.#expect(":");
      readValue(key);
    } while (this.#skip(","));
    this.#expect("}");
  }

  /** Reads an array of integers from 0 to 2^53 - 1. */
  integers(): number[] {
    const values: number[] = [];
    this.#expect("[");
    if (this.#skip("]")) return values;
    do values.push(this.#integer()); while (this.#skip(","));
    this.#expect("]");
    return values;
  }

  /** Reads a string. */
  string(): string {
    this.#space();
    const start = this.#at;
    this.#expect('"');
    const end = this.#closingQuote();
    const value = parseString(this.#text.slice(start, end + 1));
    if (value === undefined) {
      throw unreadable(
        `the string at character ${start} of the header is not JSON`,
      );
    }
    this.#at = end + 1;
    return value;
  }

  /** Throws if anything but space is left. */
  end(): void {
    this.#space();
    if (this.#at < this.#text.length) {
      throw this.#unexpected("the end of the header");
    }
  }

  #closingQuote(): number {
    let end = this.#at - 1;
    let backslashes: number;
    do {
      end = this.#text.indexOf('"', end + 1);
      if (end < 0) {
        throw unreadable(
          `the string at character ${this.#at - 1} has no closing quote`,
        );
      }
      backslashes = 0;
      while (this.#text[end - 1 - backslashes] === "\\") backslashes++;
    } while (backslashes % 2 === 1); // the quote is escaped
    return end;
  }

  #integer(): number {
    this.#space();
    const digits = /(?:0|[1-9][0-9]{0,15})(?![0-9])/y;
    digits.lastIndex = this.#at;
    const value = Number(digits.exec(this.#text)?.[0]); // NaN if nothing matches
    if (!Number.isSafeInteger(value)) {
      throw this.#unexpected("an integer from 0 to 2^53 - 1");
    }
    this.#at = digits.lastIndex;
    return value;
  }

  #expect(char: string): void {
    if (!this.#skip(char)) throw this.#unexpected(quote(char));
  }

  #skip(char: string): boolean {
    this.#space();
    const found = this.#text[this.#at] === char;
    if (found) this.#at++;
    return found;
  }

  #space(): void {
    while (" \t\n\r".includes(this.#text[this.#at] ?? "end")) this.#at++;
  }

  #unexpected(expected: string): SyntaxError {
    const char = this.#text[this.#at];
    const found = char === undefined ? "its end" : quote(char);
    return unreadable(
      `at character ${this.#at} of the header is ${found}, not ${expected}`,
    );
  }
}

/** Returns the value of a quoted JSON string; undefined if it is invalid or has half a surrogate pair. */
function parseString(json: string): string | undefined {
  try {
    const value: string = JSON.parse(json);
    return value.isWellFormed() ? value : undefined;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      bytes,
    );
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw unreadable("the header is not UTF-8 text");
  }
}

/** Shortens a text for a message, since a hostile file could make it very long. */
export function clip(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

/** Quotes a name for a message. */
export function quote(name: string): string {
  return JSON.stringify(clip(name));
}

/** Returns the error for an invalid file. */
export function unreadable(reason: string): SyntaxError {
  return refusal(SyntaxError, "read safetensors", reason);
}
