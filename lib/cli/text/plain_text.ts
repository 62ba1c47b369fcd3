/** Decodes bytes as text: UTF-8 without a byte order mark, with plain line ends. */

import { withPlainLineEnds } from "../../text/line_ends.ts";
import { type CommandError, commandError } from "../command/errors.ts";

/**
 * Decodes one text as its bytes arrive in pieces: the whole text does not depend on
 * the boundaries of the pieces.
 */
export class PlainTextDecoder {
  /** True if the text began with a byte order mark, which is left out. */
  hadByteOrderMark = false;
  /** True if the text had line ends CR LF, which become LF. */
  hadCarriageReturns = false;
  /** The name of the text in messages. */
  readonly name: string;
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  /** Bytes of a character that is not complete. */
  #held = new Uint8Array();
  /** Bytes, and UTF-16 units, that were decoded. */
  #bytes = 0;
  #units = 0;
  /** A CR that an LF may follow. */
  #carriageReturn = "";

  constructor(name: string) {
    this.name = name;
  }

  /**
   * Takes the next bytes and returns the text that is complete with them.
   *
   * @throws {CommandError} if they are not text: names the byte
   */
  push(bytes: Uint8Array): string {
    let all = bytes;
    if (this.#held.length > 0) {
      all = new Uint8Array(this.#held.length + bytes.length);
      all.set(this.#held);
      all.set(bytes, this.#held.length);
    }
    const end = this.#bytes === 0 && all.length < 2
      ? 0 // The mark of UTF-16 has two bytes.
      : all.length - cutShort(all);
    this.#held = all.slice(end);
    return this.#plain(this.#decode(all.subarray(0, end), all));
  }

  /** Ends the text, and returns the characters that were held back. */
  end(): string {
    const text = this.#plain(this.#decode(this.#held)) + this.#carriageReturn;
    this.#carriageReturn = "";
    return text;
  }

  /** @param seen the same bytes, and those that follow if they are known */
  #decode(bytes: Uint8Array, seen = bytes): string {
    let text: string;
    try {
      text = this.#utf8.decode(bytes);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw this.#notUtf8(bytes, seen);
    }
    const zero = text.indexOf("\0");
    if (zero >= 0) {
      throw this.#refuse(
        `character ${
          this.#units + zero
        } is NUL, so it is probably a binary file`,
        "expected text",
      );
    }
    if (this.#bytes === 0 && text.startsWith("\ufeff")) {
      this.hadByteOrderMark = true;
      this.#units++;
      text = text.slice(1);
    }
    this.#bytes += bytes.length;
    this.#units += text.length;
    return text;
  }

  #plain(text: string): string {
    const whole = this.#carriageReturn + text;
    this.#carriageReturn = whole.endsWith("\r") ? "\r" : "";
    const plain = withPlainLineEnds(
      whole.slice(0, whole.length - this.#carriageReturn.length),
    );
    if (plain.length + this.#carriageReturn.length < whole.length) {
      this.hadCarriageReturns = true;
    }
    return plain;
  }

  #notUtf8(bytes: Uint8Array, seen: Uint8Array): CommandError {
    if (
      this.#bytes === 0 && /^(255,254|254,255)/.test(seen.subarray(0, 2).join())
    ) {
      return this.#refuse(
        "it is UTF-16, not UTF-8",
        `iconv -f UTF-16 -t UTF-8 ${this.name} converts it`,
      );
    }
    const at = firstInvalid(bytes);
    const byte = bytes[at]!.toString(16).padStart(2, "0");
    return this.#refuse(
      `byte ${this.#bytes + at} (0x${byte}) is not UTF-8`,
      "convert other encodings to UTF-8; a binary file is not text",
    );
  }

  #refuse(reason: string, hint: string): CommandError {
    return commandError(`use ${this.name} as text`, reason, hint);
  }
}

/** Returns the number of bytes at the end, 0 to 3, that begin a character which the next piece may complete. */
function cutShort(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue; // It continues a character (RFC 3629).
    const length = byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return length > back ? back : 0;
  }
  return 0;
}

/** Returns the place of the first byte that belongs to no character. */
function firstInvalid(bytes: Uint8Array): number {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  let at = 0;
  // The decoder puts U+FFFD in place of invalid bytes; the text itself may have it, too.
  for (const part of text.split("\ufffd")) {
    at += new TextEncoder().encode(part).length;
    if (bytes.subarray(at, at + 3).join() !== "239,191,189") break;
    at += 3;
  }
  return at;
}
