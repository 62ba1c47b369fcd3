/**
 * Zip archives whose files are stored as they are, as PyTorch writes them (APPNOTE.TXT of PKWARE). A compressed file is
 * refused: it could claim any size. Files are read one by one, and no file is larger than the archive.
 */

import { crc32 } from "./digest.ts";
import { cannotImport } from "./imported.ts";
import type { ByteSource } from "./safetensors.ts";
import { quote } from "./safetensors_header.ts";

/** An archive whose files are read one by one. */
export interface ZipArchive {
  /** Sizes of the files in bytes, by name. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Reads a file and checks its checksum. */
  read(name: string): Promise<Uint8Array>;
}

/** A file to write. */
export interface ZipFile {
  readonly name: string;
  /** Returns the content, the same each time. */
  readonly bytes: () => Uint8Array;
}

/** Signatures and lengths of the records. */
const LOCAL = { signature: 0x04034b50, bytes: 30 };
const CENTRAL = { signature: 0x02014b50, bytes: 46 };
const END = { signature: 0x06054b50, bytes: 22 };
const LOCATOR_64 = { signature: 0x07064b50, bytes: 20 };
const END_64 = { signature: 0x06064b50, bytes: 56 };

/** The value of a field of 32 bits whose real value is in an extra field of 64. */
const IN_EXTRA = 0xffffffff;

interface Entry {
  readonly name: string;
  readonly size: number;
  readonly sum: number;
  /** Offset of the local header. */
  readonly offset: number;
}

/**
 * Opens an archive.
 *
 * @throws {SyntaxError} if it is not a zip archive or is damaged, or a file in it is compressed, encrypted or there twice
 */
export async function openZip(source: ByteSource): Promise<ZipArchive> {
  const entries = new Map<string, Entry>();
  let total = 0;
  for (const entry of entriesOf(await readDirectory(source))) {
    const { name, size } = entry;
    if (entries.has(name)) {
      throw cannotImport(`the archive holds ${quote(name)} twice`);
    }
    total += size;
    if (total > source.size) {
      throw cannotImport(
        `the archive has ${source.size} bytes, the files in it would have more`,
      );
    }
    entries.set(name, entry);
  }
  return {
    sizes: new Map([...entries].map(([name, { size }]) => [name, size])),
    read: (name) => readEntry(source, entries.get(name)!),
  };
}

/** Returns a view of a record. */
function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** Reads a part of the archive that one of its fields names. */
async function readPart(
  source: ByteSource,
  begin: number,
  length: number,
): Promise<Uint8Array> {
  if (begin < 0 || begin + length > source.size) {
    throw cannotImport(
      `the archive ends at byte ${source.size}, and a part of it would be at ${begin}`,
    );
  }
  return await source.read(begin, begin + length);
}

/** Reads the central directory. */
async function readDirectory(source: ByteSource): Promise<Uint8Array> {
  const at = source.size - END.bytes;
  if (at < 0) throw cannotImport("it is not a zip archive: it is too short");
  const end = viewOf(await source.read(at, source.size));
  if (end.getUint32(0, true) !== END.signature) {
    throw cannotImport(
      "it is not a zip archive, or is cut short: its end record is missing",
    );
  }
  let size = end.getUint32(12, true);
  let offset = end.getUint32(16, true);
  const locatorAt = at - LOCATOR_64.bytes;
  const locator = locatorAt < 0
    ? undefined
    : viewOf(await source.read(locatorAt, at));
  if (locator?.getUint32(0, true) === LOCATOR_64.signature) {
    const at64 = Number(locator.getBigUint64(8, true));
    const end64 = viewOf(await readPart(source, at64, END_64.bytes));
    if (end64.getUint32(0, true) !== END_64.signature) {
      throw cannotImport("the archive's end record of 64 bits is missing");
    }
    size = Number(end64.getBigUint64(40, true));
    offset = Number(end64.getBigUint64(48, true));
  }
  return await readPart(source, offset, size);
}

/** Yields the entries of a central directory. */
function* entriesOf(directory: Uint8Array): Generator<Entry> {
  const view = viewOf(directory);
  for (let at = 0; at < directory.length;) {
    const left = directory.length - at;
    if (
      left < CENTRAL.bytes || view.getUint32(at, true) !== CENTRAL.signature
    ) {
      throw cannotImport("the archive's directory is damaged");
    }
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) =>
      view.getUint16(at + field, true)
    ) as [number, number, number];
    const nameAt = at + CENTRAL.bytes;
    const extraAt = nameAt + nameLength;
    const next = extraAt + extraLength + commentLength;
    if (next > directory.length) {
      throw cannotImport("the archive's directory is cut short");
    }
    const name = new TextDecoder().decode(directory.subarray(nameAt, extraAt));
    const extra = directory.subarray(extraAt, extraAt + extraLength);
    // These stand in the extra field in this order, where the field has no room for them.
    const [size, stored, offset] = wide(
      extra,
      [24, 20, 42].map((field) => view.getUint32(at + field, true)),
    ) as [number, number, number];
    if (view.getUint16(at + 8, true) & 1) {
      throw cannotImport(`${quote(name)} in the archive is encrypted`);
    }
    if (view.getUint16(at + 10, true) !== 0 || size !== stored) {
      throw cannotImport(
        `${quote(name)} in the archive is compressed; PyTorch writes none`,
      );
    }
    yield { name, size, sum: view.getUint32(at + 16, true), offset };
    at = next;
  }
}

/** Returns the values of fields; those that have no room come from the extra field of 64 bits. */
function wide(extra: Uint8Array, values: readonly number[]): number[] {
  const view = viewOf(extra);
  let at = 0;
  while (at + 4 <= extra.length && view.getUint16(at, true) !== 1) {
    at += 4 + view.getUint16(at + 2, true);
  }
  at += 4;
  return values.map((value) => {
    if (value !== IN_EXTRA) return value;
    if (at + 8 > extra.length) {
      throw cannotImport("the archive's directory is damaged");
    }
    at += 8;
    return Number(view.getBigUint64(at - 8, true));
  });
}

async function readEntry(
  source: ByteSource,
  { name, size, sum, offset }: Entry,
): Promise<Uint8Array> {
  const local = viewOf(await readPart(source, offset, LOCAL.bytes));
  if (local.getUint32(0, true) !== LOCAL.signature) {
    throw cannotImport(`${quote(name)} is not where the archive says`);
  }
  const begin = offset + LOCAL.bytes + local.getUint16(26, true) +
    local.getUint16(28, true);
  const bytes = await readPart(source, begin, size);
  if (crc32(bytes) !== sum) {
    throw cannotImport(
      `${quote(name)} in the archive is damaged: its checksum differs`,
    );
  }
  return bytes;
}

/** Content begins at a multiple of this, as PyTorch has it, which may map it into memory. */
const ALIGNMENT = 64;

/**
 * Yields an archive in pieces.
 *
 * @throws {RangeError} if it is larger than 4 GiB
 */
export function* zipPieces(
  files: readonly ZipFile[],
): Generator<Uint8Array, void> {
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const { name, bytes } of files) {
    const content = bytes();
    const nameBytes = new TextEncoder().encode(name);
    const fixed = at + LOCAL.bytes + nameBytes.length + 4;
    const padding = (ALIGNMENT - fixed % ALIGNMENT) % ALIGNMENT;
    const begin = fixed + padding;
    if (begin + content.length >= IN_EXTRA) {
      throw new RangeError("the archive would have more than 4 GiB");
    }
    const local = viewOf(new Uint8Array(begin - at));
    local.setUint32(0, LOCAL.signature, true);
    writeFacts(local, 4, content, nameBytes);
    local.setUint16(28, 4 + padding, true);
    new Uint8Array(local.buffer).set(nameBytes, LOCAL.bytes);
    // PyTorch's extra field of padding: "FB", and its length.
    local.setUint16(LOCAL.bytes + nameBytes.length, 0x4246, true);
    local.setUint16(LOCAL.bytes + nameBytes.length + 2, padding, true);
    const central = viewOf(new Uint8Array(CENTRAL.bytes + nameBytes.length));
    central.setUint32(0, CENTRAL.signature, true);
    writeFacts(central, 6, content, nameBytes);
    central.setUint32(42, at, true);
    new Uint8Array(central.buffer).set(nameBytes, CENTRAL.bytes);
    directory.push(new Uint8Array(central.buffer));
    yield new Uint8Array(local.buffer);
    yield content;
    at = begin + content.length;
  }
  yield* directory;
  const end = viewOf(new Uint8Array(END.bytes));
  end.setUint32(0, END.signature, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(
    12,
    directory.reduce((sum, { length }) => sum + length, 0),
    true,
  );
  end.setUint32(16, at, true);
  yield new Uint8Array(end.buffer);
}

/** Writes what the local header and the directory say alike, from the version on; the directory has one version more before it. */
function writeFacts(
  record: DataView,
  at: number,
  content: Uint8Array,
  name: Uint8Array,
): void {
  record.setUint16(at, 20, true); // version 2.0
  // The date: 1 January 1980.
  record.setUint16(at + 8, 0x21, true);
  record.setUint32(at + 10, crc32(content), true);
  record.setUint32(at + 14, content.length, true);
  record.setUint32(at + 18, content.length, true);
  record.setUint16(at + 22, name.length, true);
}
