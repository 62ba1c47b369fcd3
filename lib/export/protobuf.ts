/**
 * A writer of protocol buffers (https://protobuf.dev/programming-guides/encoding/). A message is a list of fields, a
 * field a list of pieces, so that large arrays are referred to and never copied.
 */

/** A field of a message: its bytes in pieces, and their total length. */
interface Field {
  readonly pieces: readonly Uint8Array[];
  readonly length: number;
}

/** A message: its fields in order. A repeated field is there more than once. */
export type Message = readonly Field[];

/** Wire types of fields. */
const VARINT = 0;
const LENGTH = 2;
const FIXED_32 = 5;

/** Returns an integer field; a negative number takes ten bytes, as in the type int64. */
export function integerField(number: number, value: number): Field {
  return fieldOf(number, VARINT, [varint(value)]);
}

/** Returns a field of a 32-bit float. */
export function floatField(number: number, value: number): Field {
  return fieldOf(number, FIXED_32, [bytesOf(Float32Array.of(value))]);
}

/** Returns a field of a text. */
export function textField(number: number, text: string): Field {
  return bytesField(number, new TextEncoder().encode(text));
}

/** Returns a field of an array's bytes, which are little-endian. */
export function bytesField(number: number, data: ArrayBufferView): Field {
  const bytes = bytesOf(data);
  return fieldOf(number, LENGTH, [varint(bytes.length), bytes]);
}

/** Returns a field that is a message. */
export function messageField(number: number, message: Message): Field {
  const length = varint(lengthOf(message));
  return fieldOf(number, LENGTH, [length, ...piecesOf(message)]);
}

/** Returns the number of bytes of a message. */
export function lengthOf(message: Message): number {
  return message.reduce((sum, { length }) => sum + length, 0);
}

/** Returns the bytes of a message in pieces. */
export function piecesOf(message: Message): Uint8Array[] {
  return message.flatMap(({ pieces }) => pieces);
}

function fieldOf(
  number: number,
  wireType: number,
  content: readonly Uint8Array[],
): Field {
  const pieces = [varint(number * 8 + wireType), ...content];
  return {
    pieces,
    length: pieces.reduce((sum, { length }) => sum + length, 0),
  };
}

function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Returns an integer in groups of 7 bits, the lowest first. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
