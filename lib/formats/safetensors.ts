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
  const ordered = [...tensors].sort(([, a], [, b]) =>
    elementSize(b.dtype) - elementSize(a.dtype)
  );
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) {
    entries.push([METADATA, checkedMetadata(metadata)]);
  }
  let end = 0;
  for (const [name, tensor] of ordered) {
    checkTensor(name, tensor);
    const begin = end;
    end += tensor.data.byteLength;
    entries.push([name, {
      dtype: tensor.dtype,
      shape: tensor.shape,
      data_offsets: [begin, end],
    }]);
  }
  const header = paddedHeader(entries);
  const bytes = new Uint8Array(LENGTH_BYTES + header.length + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, LENGTH_BYTES);
  let at = LENGTH_BYTES + header.length;
  for (const [, { data }] of ordered) {
    bytes.set(
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      at,
    );
    at += data.byteLength;
  }
  return bytes;
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
  checkWellFormed(name);
  if (name === METADATA) {
    throw cannotWrite(`a tensor is named ${METADATA}`);
  }
  if (!(data instanceof ARRAYS[dtype])) {
    const kind = ARRAYS[dtype].name;
    throw wrongType(
      `${quote(name)} has dtype ${dtype}, its data is not a ${kind}`,
    );
  }
  const lengths = shape.every((length) =>
    Number.isInteger(length) && length >= 0
  );
  if (!lengths || elementCount(shape) !== data.length) {
    const sizes = clip(String(shape));
    throw cannotWrite(
      `${quote(name)} has shape [${sizes}] and ${data.length} elements`,
    );
  }
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
  const headerLength = readHeaderLength(bytes);
  const dataStart = LENGTH_BYTES + headerLength;
  const header = parseHeader(bytes.subarray(LENGTH_BYTES, dataStart));
  const data = bytes.subarray(dataStart);
  const ordered = [...header.entries].sort(([, a], [, b]) =>
    a.begin - b.begin || a.end - b.end
  );
  checkLayout(ordered, data.length);
  const tensors = new Map(
    ordered.map(([name, entry]) => [name, readTensor(name, entry, data)]),
  );
  return { tensors, metadata: header.metadata };
}

function readHeaderLength(bytes: Uint8Array): number {
  if (bytes.length < LENGTH_BYTES) {
    throw unreadable(
      `the file has ${bytes.length} bytes, fewer than the 8 of the header length`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES);
  const length = view.getBigUint64(0, true);
  if (length > MAX_HEADER) {
    throw unreadable(
      `it is not a safetensors file, or damaged: the header would have ${length} bytes, the limit is ${MAX_HEADER}`,
    );
  }
  if (Number(length) > bytes.length - LENGTH_BYTES) {
    throw unreadable(
      `the header has ${length} bytes, the file only ${
        bytes.length - LENGTH_BYTES
      } after its length`,
    );
  }
  return Number(length);
}

/** Throws unless the arrays, sorted by offset, fill the data exactly: no overlap, no gap, no trailing bytes. */
function checkLayout(
  ordered: readonly (readonly [string, HeaderEntry])[],
  size: number,
): void {
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
}

function readTensor(
  name: string,
  entry: HeaderEntry,
  data: Uint8Array,
): TensorData {
  const { dtype, shape, begin, end } = entry;
  if (!isDtype(dtype)) {
    throw unreadable(
      `${quote(name)} has dtype ${quote(dtype)}, known are ${
        Object.keys(ARRAYS).join(", ")
      }`,
    );
  }
  const count = elementCount(shape);
  const size = elementSize(dtype);
  if (count * size !== end - begin) {
    throw unreadable(
      `${quote(name)} has shape [${clip(String(shape))}] of ${dtype}, ${
        count * size
      } bytes, and data of ${end - begin}`,
    );
  }
  const aligned = (data.byteOffset + begin) % size === 0;
  const source = aligned ? data.subarray(begin, end) : data.slice(begin, end);
  return {
    dtype,
    shape,
    data: new ARRAYS[dtype](source.buffer, source.byteOffset, count),
  } as TensorData;
}

function isDtype(dtype: string): dtype is Dtype {
  return Object.hasOwn(ARRAYS, dtype);
}

function elementSize(dtype: Dtype): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}

function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, length) => count * length, 1);
}
