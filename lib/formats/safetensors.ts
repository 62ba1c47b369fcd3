/**
 * A strict reader and canonical writer of the safetensors format, which stores
 * named arrays and string metadata (https://huggingface.co/docs/safetensors/index).
 *
 *     8 bytes   N, the length of the header, unsigned little-endian
 *     N bytes   the header, a JSON object: name → {dtype, shape, data_offsets},
 *               and "__metadata__" → {string: string}; padded with spaces
 *     the rest  the arrays, row-major little-endian, without gaps
 *
 * `checkpoint.ts` gives names and metadata their meaning; the program reads and
 * writes the files. Arrays use the machine's byte order, which is little-endian
 * wherever WebGPU or WebAssembly runs.
 */

import {
  clip,
  type HeaderEntry,
  parseHeader,
  quote,
  unreadable,
} from "./safetensors_header.ts";
import { refuser } from "../refusal.ts";

const cannotWrite = refuser(RangeError, "write safetensors");
const wrongType = refuser(TypeError, "write safetensors");

/** Typed array of each element type. */
export interface DtypeArrays {
  /** 64-bit floats. */
  F64: Float64Array;
  /** 32-bit floats. */
  F32: Float32Array;
  /** Bits of 16-bit floats (IEEE 754 binary16). */
  F16: Uint16Array;
  /** Bits of bfloat16 numbers: the upper halves of 32-bit floats. */
  BF16: Uint16Array;
  /** Signed 64-bit integers. */
  I64: BigInt64Array;
  /** Signed 32-bit integers. */
  I32: Int32Array;
  /** Signed 16-bit integers. */
  I16: Int16Array;
  /** Signed 8-bit integers. */
  I8: Int8Array;
  /** Unsigned 64-bit integers. */
  U64: BigUint64Array;
  /** Unsigned 32-bit integers. */
  U32: Uint32Array;
  /** Unsigned 16-bit integers. */
  U16: Uint16Array;
  /** Unsigned 8-bit integers. */
  U8: Uint8Array;
}

/** Name of an element type in the format. */
export type Dtype = keyof DtypeArrays;

/** One array: element type, shape, and elements in row-major order. */
export type TensorData = {
  [D in Dtype]: {
    /** Element type. */
    readonly dtype: D;
    /** Lengths of the dimensions; [] for a scalar. */
    readonly shape: readonly number[];
    /** Elements in row-major order; their number is the product of the shape. */
    readonly data: DtypeArrays[D];
  };
}[Dtype];

/** One array to write: its elements are made when they are written, so that only one array's are held at a time. */
export interface TensorSource {
  /** Element type. */
  readonly dtype: Dtype;
  /** Lengths of the dimensions; [] for a scalar. */
  readonly shape: readonly number[];
  /** Returns the elements in row-major order. */
  readonly data: () => DtypeArrays[Dtype];
}

/** Content of a safetensors file. */
export interface Safetensors {
  /** Arrays by name, in the order of their data. */
  readonly tensors: Map<string, TensorData>;
  /** `__metadata__` of the file; an object without prototype, so every key is an ordinary key. */
  readonly metadata: Record<string, string>;
}

/** Longest header in bytes, a limit of the format. */
const MAX_HEADER = 100_000_000;
const LENGTH_BYTES = 8;
const METADATA = "__metadata__";

interface ArrayConstructor<A> {
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): A;
  readonly BYTES_PER_ELEMENT: number;
  readonly name: string;
}

const ARRAYS: { readonly [D in Dtype]: ArrayConstructor<DtypeArrays[D]> } = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U64: BigUint64Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
};

/**
 * Encodes arrays and metadata as a safetensors file. The same input gives the
 * same bytes. Wider elements come first, so that each array is aligned; arrays
 * of equal element width keep the order of the map.
 *
 * @param tensors arrays by name; the name `__metadata__` is reserved
 * @param metadata strings by name
 * @returns the bytes of the file
 * @throws {TypeError} if data is not a typed array of its dtype, or metadata is not a string
 * @throws {RangeError} if a shape does not fit its data, a name is `__metadata__`,
 * a string contains half a surrogate pair, or the header is longer than 100 MB
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { decodeSafetensors, encodeSafetensors } from "@lm/core/formats";
 *
 * const bias = { dtype: "F32", shape: [2], data: Float32Array.of(0.5, -1) } as const;
 * const bytes = encodeSafetensors(new Map([["bias", bias]]), { step: "100" });
 * const { tensors, metadata } = decodeSafetensors(bytes);
 * assertEquals(tensors.get("bias"), bias);
 * assertEquals(metadata["step"], "100");
 * ```
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  for (const [name, tensor] of tensors) checkTensor(name, tensor);
  const sources = [...tensors].map(([name, { dtype, shape, data }]) =>
    [name, { dtype, shape, data: () => data }] as const
  );
  const pieces = [...safetensorsPieces(new Map(sources), metadata)];
  const size = pieces.reduce((sum, { length }) => sum + length, 0);
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/**
 * Yields the bytes of {@linkcode encodeSafetensors} in pieces: the header, then each array.
 *
 * @throws {TypeError} as {@linkcode encodeSafetensors} does
 * @throws {RangeError} as {@linkcode encodeSafetensors} does
 */
export function* safetensorsPieces(
  tensors: ReadonlyMap<string, TensorSource>,
  metadata: Readonly<Record<string, string>> = {},
): Generator<Uint8Array, void> {
  const ordered = [...tensors].sort(([, a], [, b]) =>
    elementSize(b.dtype) - elementSize(a.dtype)
  );
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) {
    entries.push([METADATA, checkedMetadata(metadata)]);
  }
  let end = 0;
  for (const [name, { dtype, shape }] of ordered) {
    checkShape(name, shape);
    const begin = end;
    end += elementCount(shape) * elementSize(dtype);
    entries.push([name, { dtype, shape, data_offsets: [begin, end] }]);
  }
  const header = paddedHeader(entries);
  const length = new Uint8Array(LENGTH_BYTES);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  yield length;
  yield header;
  for (const [name, { dtype, shape, data }] of ordered) {
    const tensor = { dtype, shape, data: data() } as TensorData;
    checkTensor(name, tensor);
    const { buffer, byteOffset, byteLength } = tensor.data;
    yield new Uint8Array(buffer, byteOffset, byteLength);
  }
}

/** Returns the bytes of the header, padded so that the data begins at a multiple of 8. */
function paddedHeader(entries: [string, unknown][]): Uint8Array {
  // fromEntries defines own properties, so a tensor may be named __proto__.
  const json = new TextEncoder().encode(
    JSON.stringify(Object.fromEntries(entries)),
  );
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER) {
    throw cannotWrite(
      `the header has ${length} bytes, the limit is ${MAX_HEADER}`,
    );
  }
  const header = new Uint8Array(length).fill(" ".charCodeAt(0));
  header.set(json);
  return header;
}

function checkTensor(name: string, { dtype, shape, data }: TensorData): void {
  checkShape(name, shape);
  if (!(data instanceof ARRAYS[dtype])) {
    const kind = ARRAYS[dtype].name;
    throw wrongType(
      `${quote(name)} has dtype ${dtype}, its data is not a ${kind}`,
    );
  }
  if (elementCount(shape) !== data.length) throw misshapen(name, shape, data);
}

/** Checks what the header says of an array, without its elements. */
function checkShape(name: string, shape: readonly number[]): void {
  checkWellFormed(name);
  if (name === METADATA) {
    throw cannotWrite(`a tensor is named ${METADATA}`);
  }
  const isCount = (length: number) => Number.isInteger(length) && length >= 0;
  if (!shape.every(isCount)) throw misshapen(name, shape);
}

function misshapen(
  name: string,
  shape: readonly number[],
  data?: { readonly length: number },
): RangeError {
  const sizes = clip(String(shape));
  const elements = data === undefined ? "" : ` and ${data.length} elements`;
  return cannotWrite(`${quote(name)} has shape [${sizes}]${elements}`);
}

function checkedMetadata(
  metadata: Readonly<Record<string, string>>,
): Record<string, string> {
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string") {
      throw wrongType(
        `metadata ${quote(key)} is ${typeof value}, not a string`,
      );
    }
    checkWellFormed(key);
    checkWellFormed(value);
  }
  return metadata;
}

function checkWellFormed(text: string): void {
  if (!text.isWellFormed()) {
    throw cannotWrite(`${quote(text)} contains half a surrogate pair`);
  }
}

/**
 * Decodes a safetensors file. Any deviation from the format is an error. A file
 * cannot claim more memory than its content needs: decoding takes at most a small
 * multiple of the file's size.
 *
 * @param bytes the whole file
 * @returns arrays and metadata. An array is a view of `bytes` if it is aligned, as
 * in files from {@linkcode encodeSafetensors}, and otherwise a copy
 * @throws {SyntaxError} `Cannot read safetensors: <reason>` if the file is
 * truncated, corrupt, not safetensors, or has an element type not in {@linkcode Dtype}
 */
export function decodeSafetensors(bytes: Uint8Array): Safetensors {
  const headerLength = readHeaderLength(bytes, bytes.length);
  const dataStart = LENGTH_BYTES + headerLength;
  const header = parseHeader(bytes.subarray(LENGTH_BYTES, dataStart));
  const data = bytes.subarray(dataStart);
  const tensors = new Map(
    checkedLayout(header.entries, data.length).map((
      [name, entry],
    ) => [
      name,
      readTensor(name, entry, data.subarray(entry.begin, entry.end)),
    ]),
  );
  return { tensors, metadata: header.metadata };
}

/** Bytes that are read in parts, as of a file. */
export interface ByteSource {
  /** Number of bytes. */
  readonly size: number;
  /**
   * Reads the bytes from `begin` to before `end`, both in [0, size].
   *
   * @param into memory of as many bytes, which may be used for the result
   */
  read(begin: number, end: number, into?: Uint8Array): Promise<Uint8Array>;
}

/** An array of a file: element type and shape. */
export interface TensorInfo {
  /** Element type. */
  readonly dtype: Dtype;
  /** Lengths of the dimensions. */
  readonly shape: readonly number[];
}

/** A safetensors file whose arrays are read one by one. */
export interface SafetensorsFile {
  /** `__metadata__` of the file. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Names of the arrays, in the order of their data. */
  readonly names: ReadonlySet<string>;
  /** Returns the element type and the shape of an array. */
  info(name: string): TensorInfo;
  /** Reads an array. */
  read(name: string): Promise<TensorData>;
  /** Reads an array in pieces of {@linkcode PIECE_BYTES}, of which the last may be shorter. The next piece may overwrite one. */
  pieces(name: string): AsyncGenerator<DtypeArrays[Dtype], void>;
}

/** Bytes of a piece of an array; a multiple of every element's. */
export const PIECE_BYTES: number = 2 ** 20;

/**
 * Opens a safetensors file without reading its arrays; the checks are those of {@linkcode decodeSafetensors}, an
 * element type counts when its array is read.
 *
 * @throws {SyntaxError} `Cannot read safetensors: <reason>`
 */
export async function openSafetensors(
  source: ByteSource,
): Promise<SafetensorsFile> {
  const { size } = source;
  const length = await source.read(0, Math.min(LENGTH_BYTES, size));
  const dataStart = LENGTH_BYTES + readHeaderLength(length, size);
  const header = parseHeader(await source.read(LENGTH_BYTES, dataStart));
  const entries = new Map(checkedLayout(header.entries, size - dataStart));
  const range = (begin: number, end: number, into?: Uint8Array) =>
    source.read(dataStart + begin, dataStart + end, into);
  // One for all pieces: collecting thousands would wait until they take much memory.
  let memory: Uint8Array | undefined;
  return {
    metadata: header.metadata,
    names: new Set(entries.keys()),
    info: (name) => checkedEntry(name, entries.get(name)!),
    async read(name) {
      const entry = entries.get(name)!;
      return readTensor(name, entry, await range(entry.begin, entry.end));
    },
    async *pieces(name) {
      const { begin, end } = entries.get(name)!;
      const { dtype } = checkedEntry(name, entries.get(name)!);
      for (let at = begin; at < end; at += PIECE_BYTES) {
        const to = Math.min(at + PIECE_BYTES, end);
        memory ??= new Uint8Array(PIECE_BYTES);
        const bytes = await range(at, to, memory.subarray(0, to - at));
        const { BYTES_PER_ELEMENT: size } = ARRAYS[dtype];
        yield arrayOf(dtype, [bytes.length / size], bytes).data;
      }
    },
  };
}

function readHeaderLength(head: Uint8Array, size: number): number {
  if (size < LENGTH_BYTES) {
    throw unreadable(
      `the file has ${size} bytes, fewer than the 8 of the header length`,
    );
  }
  const view = new DataView(head.buffer, head.byteOffset, LENGTH_BYTES);
  const length = view.getBigUint64(0, true);
  if (length > MAX_HEADER) {
    throw unreadable(
      `it is not a safetensors file, or damaged: the header would have ${length} bytes, the limit is ${MAX_HEADER}`,
    );
  }
  if (Number(length) > size - LENGTH_BYTES) {
    throw unreadable(
      `the header has ${length} bytes, the file only ${
        size - LENGTH_BYTES
      } after its length`,
    );
  }
  return Number(length);
}

/**
 * Returns the arrays sorted by offset.
 *
 * @throws {SyntaxError} unless they fill the data exactly: no overlap, no gap, no trailing bytes
 */
function checkedLayout(
  entries: ReadonlyMap<string, HeaderEntry>,
  size: number,
): [string, HeaderEntry][] {
  const ordered = [...entries].sort(([, a], [, b]) =>
    a.begin - b.begin || a.end - b.end
  );
  let filled = 0;
  for (const [name, { begin, end }] of ordered) {
    if (begin > end) {
      throw unreadable(`${quote(name)} begins at ${begin} and ends at ${end}`);
    }
    if (end > size) {
      throw unreadable(`${quote(name)} ends at ${end}, the data at ${size}`);
    }
    if (begin < filled) {
      throw unreadable(
        `${quote(name)} begins at ${begin} inside another array`,
      );
    }
    if (begin > filled) {
      throw unreadable(`bytes ${filled} to ${begin} of the data are unused`);
    }
    filled = end;
  }
  if (filled < size) {
    throw unreadable(`bytes ${filled} to ${size} of the data are unused`);
  }
  return ordered;
}

function readTensor(
  name: string,
  entry: HeaderEntry,
  bytes: Uint8Array,
): TensorData {
  const { dtype, shape } = checkedEntry(name, entry);
  return arrayOf(dtype, shape, bytes);
}

/** Checks the element type of an array, and that its shape fits the length of its data. */
function checkedEntry(
  name: string,
  { dtype, shape, begin, end }: HeaderEntry,
): TensorInfo {
  if (!isDtype(dtype)) {
    throw unreadable(
      `${quote(name)} has dtype ${quote(dtype)}, known are ${
        Object.keys(ARRAYS).join(", ")
      }`,
    );
  }
  const bytes = elementCount(shape) * elementSize(dtype);
  if (bytes !== end - begin) {
    throw unreadable(
      `${quote(name)} has shape [${
        clip(String(shape))
      }] of ${dtype}, ${bytes} bytes, and data of ${end - begin}`,
    );
  }
  return { dtype, shape };
}

/** Returns an array of some bytes, in the machine's byte order: a view of them if they are aligned, else a copy. */
export function arrayOf(
  dtype: Dtype,
  shape: readonly number[],
  bytes: Uint8Array,
): TensorData {
  const aligned = bytes.byteOffset % elementSize(dtype) === 0;
  const { buffer, byteOffset } = aligned ? bytes : bytes.slice();
  const data = new ARRAYS[dtype](buffer, byteOffset, elementCount(shape));
  return { dtype, shape, data } as TensorData;
}

function isDtype(dtype: string): dtype is Dtype {
  return Object.hasOwn(ARRAYS, dtype);
}

/** Returns the bytes of an element. */
export function elementSize(dtype: Dtype): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}

function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, length) => count * length, 1);
}
