/**
 * TensorBoard's event files: records (tensorflow/core/lib/io/record_writer.h) of protocol buffer
 * messages (tensorflow/core/util/event.proto, framework/summary.proto), of which a run needs
 * few fields.
 */

/** What goes into an event file: numbers and texts, by their tags. */
export interface BoardEvent {
  /** Unix time in seconds. */
  readonly time: number;
  readonly step: number;
  readonly scalars?: Readonly<Record<string, number>>;
  readonly texts?: Readonly<Record<string, string>>;
}

const encoder = new TextEncoder();

/** What an event file begins with: the version of its format. */
export function fileHeader(time: number): Uint8Array {
  return record(message([
    [1, double(time)],
    [3, encoder.encode("brain.Event:2")],
  ]));
}

/** One event as a record. */
export function boardRecord(
  { time, step, scalars = {}, texts = {} }: BoardEvent,
): Uint8Array {
  const values = [
    ...Object.entries(scalars).map(([tag, value]) =>
      message([[1, encoder.encode(tag)], [2, float(value)]])
    ),
    ...Object.entries(texts).map(([tag, text]) =>
      message([
        [1, encoder.encode(tag)],
        [8, message([[1, STRINGS], [8, encoder.encode(text)]])],
        [9, TEXT_PLUGIN],
      ])
    ),
  ];
  const summary = message(values.map((value): Field => [1, value]));
  return record(message([[1, double(time)], [2, step], [5, summary]]));
}

/** The number of a protocol buffer's field and its value: an integer, bytes, or 4 or 8 of them as they are. */
type Field = readonly [
  number: number,
  value: number | Uint8Array | { readonly fixed: Uint8Array },
];

/** DT_STRING, the type of a tensor of texts. */
const STRINGS = 7;

/** SummaryMetadata of a text: plugin_data.plugin_name, data_class DATA_CLASS_TENSOR. */
const TEXT_PLUGIN = message([
  [1, message([[1, encoder.encode("text")]])],
  [4, 2],
]);

/** Fields one after the other (protobuf.dev/programming-guides/encoding). */
function message(fields: readonly Field[]): Uint8Array {
  const parts = fields.flatMap(([number, value]) => {
    if (typeof value === "number") return [varint(number << 3), varint(value)];
    if (value instanceof Uint8Array) {
      return [varint(number << 3 | 2), varint(value.length), value];
    }
    const { fixed } = value;
    return [varint(number << 3 | (fixed.length === 8 ? 1 : 5)), fixed];
  });
  return concat(parts);
}

/** A non-negative integer, seven bits a byte, the lowest first. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  while (value >= 0x80) {
    bytes.push(value % 0x80 + 0x80);
    value = Math.floor(value / 0x80);
  }
  return Uint8Array.of(...bytes, value);
}

function double(value: number): { fixed: Uint8Array } {
  const fixed = new Uint8Array(8);
  new DataView(fixed.buffer).setFloat64(0, value, true);
  return { fixed };
}

function float(value: number): { fixed: Uint8Array } {
  const fixed = new Uint8Array(4);
  new DataView(fixed.buffer).setFloat32(0, value, true);
  return { fixed };
}

/** Length, its checksum, data, its checksum; all little-endian. */
function record(data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16 + data.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedChecksum(bytes.subarray(0, 8)), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, maskedChecksum(data), true);
  return bytes;
}

/** CRC-32C (RFC 3720, B.4), turned and shifted, as checksums of checksums would be weak. */
function maskedChecksum(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** The checksum with Castagnoli's polynomial. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) {
    crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return crc;
});

/** Parts one after the other. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
