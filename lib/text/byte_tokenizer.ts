/** The tokenizer `bytes`: an id is a byte of UTF-8. */

import { checkWellFormed, type Place } from "./characters.ts";
import {
  checkedId,
  decodeInParts,
  type DecodeOptions,
  type DecodeStream,
  type EncodeStream,
  encodeStream,
  utf8Decoder,
} from "./token_streams.ts";

const BYTE_SIZE = 256;

/** Turns text into bytes of UTF-8. */
export class ByteTokenizer {
  readonly kind = "bytes";
  readonly vocabSize: number = BYTE_SIZE;
  readonly specialTokens: ReadonlyMap<string, number> = new Map();

  toJSON(): { readonly kind: "bytes" } {
    return { kind: this.kind };
  }

  encode(text: string): Int32Array {
    return Int32Array.from(encodeBytes(text));
  }

  encoder(): EncodeStream {
    return encodeStream(encodeBytes);
  }

  decode(ids: Iterable<number>, options?: DecodeOptions): string {
    const decoder = utf8Decoder();
    const textOf = (part: readonly number[]) =>
      decoder.decode(
        Uint8Array.from(part, (id) => checkedId(id, BYTE_SIZE)),
        { stream: true },
      );
    return decodeInParts(ids, textOf, options) + decoder.decode();
  }

  stream(): DecodeStream {
    const decoder = utf8Decoder();
    return {
      push: (id) =>
        decoder.decode(Uint8Array.of(checkedId(id, BYTE_SIZE)), {
          stream: true,
        }),
      flush: () => decoder.decode(),
    };
  }

  characters(id: number): number {
    return beginsCharacter(id) ? 1 : 0;
  }

  bytesOf(id: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.of(checkedId(id, BYTE_SIZE));
  }
}

/** Returns whether a byte of UTF-8 begins a character. Bytes 10xxxxxx continue one (RFC 3629). */
export function beginsCharacter(byte: number): boolean {
  return (byte & 0xc0) !== 0x80;
}

/** Returns the bytes of a text. */
function encodeBytes(text: string, from?: Place): Uint8Array {
  // TextEncoder would write U+FFFD for half a surrogate pair, and decoding would not restore the text.
  checkWellFormed(text, "encode text", from);
  return new TextEncoder().encode(text);
}
