/**
 * The JSON header of a safetensors file, by a parser of exactly that shape:
 * name → {dtype, shape, data_offsets}, and "__metadata__" → {string: string}.
 *
 * `JSON.parse` would do for good files. Of bad ones it keeps the last of two
 * equal keys without a word, rounds large integers, and builds whatever the
 * bytes describe before anyone can object. Element types are checked, and
 * offsets compared with the data, by `safetensors.ts`.
 */

/** What the header says of one array. */
export interface HeaderEntry {
  /** The element type's name, not yet known to be one. */
  readonly dtype: string;
  /** Lengths of the dimensions, at least 0; their product is a safe integer. */
  readonly shape: readonly number[];
  /** The first byte of the array's data, counted from the end of the header. */
  readonly begin: number;
  /** The byte after its last. */
  readonly end: number;
}

/** A header's arrays and metadata. */
export interface Header {
  /** The arrays by name, in the order of the header. */
  readonly entries: ReadonlyMap<string, HeaderEntry>;
  /** `__metadata__`, empty if there is none; without a prototype. */
  readonly metadata: Record<string, string>;
}

/**
 * Parses a header.
 *
 * @param bytes the header alone
 * @throws {SyntaxError} `Cannot read safetensors: <reason>` if it is not one
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

/** Refuses too large a product, also before a 0 in the shape, as the format's own reader does. */
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

/** Reads values off a JSON text from left to right; never deeper than it is asked to. */
class HeaderReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    // The format wants the brace first, without space before it.
    if (text[0] !== "{") throw this.#unexpected('"{"');
  }

  /** Reads an object; `readValue` is called at each value and must read it. */
  object(readValue: (key: string) => void): void {
    const seen = new Set<string>();
    this.#expect("{");
    if (this.#skip("}")) return;
    do {
      const key = this.string();
      if (seen.has(key)) {
        throw unreadable(`the key ${quote(key)} stands twice in an object`);
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

  /** Refuses anything but space in what is left. */
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
          `the string at character ${this.#at - 1} does not end`,
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
    const value = Number(digits.exec(this.#text)?.[0]); // NaN where nothing matches
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

/** The value of a JSON string with its quotes; undefined if it is not one of whole characters. */
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

/** A text for a message, which a hostile file could make very long. */
export function clip(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

/** A name for a message, in quotes. */
export function quote(name: string): string {
  return JSON.stringify(clip(name));
}

/** The one way in which a file is refused. */
export function unreadable(reason: string): SyntaxError {
  return new SyntaxError(`Cannot read safetensors: ${reason}`);
}
