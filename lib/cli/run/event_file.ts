/**
 * TensorBoard's event files: records (tensorflow/core/lib/io/record_writer.h) of protocol buffer
 * messages (tensorflow/core/util/event.proto, framework/summary.proto), of which a run needs
 * few fields.
 */

/** An entry of an event file: numbers and texts by their tags. */
export interface BoardEvent {
  /** Unix time in seconds. */
  readonly time: number;
  readonly step: number;
  readonly scalars?: Readonly<Record<string, number>>;
  readonly texts?: Readonly<Record<string, string>>;
}

const encoder = new TextEncoder();

/** Returns the first record of an event file: the version of its format. */
export function fileHeader(time: number): Uint8Array {
  message.clear();
  message.text(3, "brain.Event:2");
  message.double(1, time);
  return record(message.bytes);
}

/** Encodes one event as a record. */
export function boardRecord(
  { time, step, scalars = {}, texts = {} }: BoardEvent,
): Uint8Array {
  message.clear();
  for (const [tag, text] of Object.entries(texts).toReversed()) {
    message.nest(1, () => {
      message.nest(9, () => { // SummaryMetadata
        message.integer(4, 2); // data_class: DATA_CLASS_TENSOR
        message.nest(1, () => message.text(1, "text")); // plugin_name
      });
      message.nest(8, () => { // TensorProto
        message.text(8, text);
        message.integer(1, 7); // DT_STRING
      });
      message.text(1, tag);
    });
  }
  for (const [tag, value] of Object.entries(scalars).toReversed()) {
    message.nest(1, () => {
      message.float(2, value);
      message.text(1, tag);
    });
  }
  message.wrap(5, 0);
  message.integer(2, step);
  message.double(1, time);
  return record(message.bytes);
}

/**
 * A protocol buffer message (protobuf.dev/programming-guides/encoding), written from its end to its
 * beginning, so that the length of a part is known when it has to be written.
 */
class Message {
  #buffer = new Uint8Array(1024);
  #view = new DataView(this.#buffer.buffer);
  /** Bytes written, the last of the buffer. */
  #size = 0;

  get bytes(): Uint8Array {
    return this.#buffer.subarray(this.#buffer.length - this.#size);
  }

  clear(): void {
    this.#size = 0;
  }

  integer(field: number, value: number): void {
    this.#varint(value);
    this.#varint(field << 3);
  }

  double(field: number, value: number): void {
    this.#view.setFloat64(this.#take(8), value, true);
    this.#varint(field << 3 | 1);
  }

  float(field: number, value: number): void {
    this.#view.setFloat32(this.#take(4), value, true);
    this.#varint(field << 3 | 5);
  }

  text(field: number, value: string): void {
    const end = this.#size;
    const bytes = encoder.encode(value);
    const at = this.#take(bytes.length);
    this.#buffer.set(bytes, at);
    this.wrap(field, end);
  }

  /** Writes a field that is a message of its own. */
  nest(field: number, write: () => void): void {
    const end = this.#size;
    write();
    this.wrap(field, end);
  }

  /** Wraps everything written since the size was `end` into a field. */
  wrap(field: number, end: number): void {
    this.#varint(this.#size - end);
    this.#varint(field << 3 | 2);
  }

  /** Writes a non-negative integer, seven bits a byte, the lowest first. */
  #varint(value: number): void {
    let length = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
      length++;
    }
    let at = this.#take(length);
    for (; value >= 0x80; value = Math.floor(value / 0x80)) {
      this.#buffer[at++] = value % 0x80 + 0x80;
    }
    this.#buffer[at] = value;
  }

  /** Makes room for some bytes; returns where they begin. */
  #take(count: number): number {
    this.#size += count;
    if (this.#size > this.#buffer.length) {
      const written = this.#buffer;
      this.#buffer = new Uint8Array(2 * this.#size);
      this.#buffer.set(written, this.#buffer.length - written.length);
      this.#view = new DataView(this.#buffer.buffer);
    }
    return this.#buffer.length - this.#size;
  }
}

/** The message being written; all messages use the same memory in turn. */
const message = new Message();

/** Returns a record: length, its checksum, data, its checksum; all little-endian. */
function record(data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length, true); // and four bytes of zeros
  view.setUint32(8, maskedChecksum(bytes.subarray(0, 8)), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, maskedChecksum(data), true);
  return bytes;
}

/** Returns the CRC-32C (RFC 3720, B.4), rotated and shifted, as checksums of checksums would be weak. */
function maskedChecksum(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Returns the checksum with Castagnoli's polynomial. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    crc = (crc >>> 8) ^ table[(crc ^ bytes[i]!) & 0xff]!;
  }
  return ~crc >>> 0;
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) {
    crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return crc;
});

/** Concatenates parts. */
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
