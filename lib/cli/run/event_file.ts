/**
 * TensorBoard's event files: records (tensorflow/core/lib/io/record_writer.h) of protocol buffer
 * messages (protobuf.dev/programming-guides/encoding; tensorflow/core/util/event.proto,
 * framework/summary.proto), of which a run needs few fields.
 */

import { crc32c } from "../../formats/digest.ts";

/** An entry of an event file: numbers and texts by their tags. */
export interface BoardEvent {
  /** Unix time in seconds. */
  readonly time: number;
  readonly step: number;
  readonly scalars?: Readonly<Record<string, number>>;
  readonly texts?: Readonly<Record<string, string>>;
}

/** Returns the first record of an event file: the version of its format. */
export function fileHeader(time: number): Uint8Array {
  return record([double(1, time), text(3, "brain.Event:2")]);
}

/** Encodes one event as a record. */
export function boardRecord(
  { time, step, scalars = {}, texts = {} }: BoardEvent,
): Uint8Array {
  const values = [
    ...Object.entries(scalars).map(([tag, value]) =>
      message(1, [text(1, tag), float(2, value)])
    ),
    ...Object.entries(texts).map(([tag, value]) =>
      message(1, [
        text(1, tag),
        // TensorProto: DT_STRING, string_val
        message(8, [integer(1, 7), text(8, value)]),
        // SummaryMetadata: plugin_name, DATA_CLASS_TENSOR
        message(9, [message(1, [text(1, "text")]), integer(4, 2)]),
      ])
    ),
  ];
  return record([double(1, time), integer(2, step), message(5, values)]);
}

/** Bytes, a character each: strings are put together faster than arrays. */
type Bytes = string;

/** Encodes a non-negative integer, seven bits a byte, the lowest first. */
function varint(value: number): Bytes {
  return value < 0x80
    ? String.fromCharCode(value)
    : String.fromCharCode(value % 0x80 + 0x80) +
      varint(Math.floor(value / 0x80));
}

function integer(field: number, value: number): Bytes {
  return varint(field << 3) + varint(value);
}

function double(field: number, value: number): Bytes {
  return varint(field << 3 | 1) +
    charactersOf(new Uint8Array(Float64Array.of(value).buffer));
}

function float(field: number, value: number): Bytes {
  return varint(field << 3 | 5) +
    charactersOf(new Uint8Array(Float32Array.of(value).buffer));
}

function text(field: number, value: string): Bytes {
  return message(field, [charactersOf(new TextEncoder().encode(value))]);
}

function charactersOf(bytes: Uint8Array): Bytes {
  let characters = "";
  for (const byte of bytes) characters += String.fromCharCode(byte);
  return characters;
}

function message(field: number, parts: readonly Bytes[]): Bytes {
  const bytes = parts.join("");
  return varint(field << 3 | 2) + varint(bytes.length) + bytes;
}

/** Returns a record: length, its checksum, data, its checksum; all little-endian. */
function record(parts: readonly Bytes[]): Uint8Array {
  const data = parts.join("");
  const bytes = new Uint8Array(16 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length, true); // and four bytes of zeros
  view.setUint32(8, maskedChecksum(bytes.subarray(0, 8)), true);
  for (let i = 0; i < data.length; i++) bytes[12 + i] = data.charCodeAt(i);
  const checksum = maskedChecksum(bytes.subarray(12, 12 + data.length));
  view.setUint32(12 + data.length, checksum, true);
  return bytes;
}

/** Returns the CRC-32C (RFC 3720, B.4), rotated and shifted, as checksums of checksums would be weak. */
function maskedChecksum(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
