/**
 * A writer of GGUF files, version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md):
 *
 *     "GGUF"   u32 version, u64 number of tensors, u64 number of values
 *     values   name, type, value; a string is its length and its UTF-8
 *     tensors  name, lengths of the dimensions from the last to the first, type, offset of the data
 *     data     of each tensor, little-endian; it begins at a multiple of 32 bytes
 *
 * `gguf.ts` gives the values and tensors their meaning.
 */

import type { FloatType } from "./floats.ts";

/** A value: a text, a flag, an unsigned integer, a 32-bit float, texts, or signed integers. */
export type GgufValue =
  | string
  | boolean
  | number
  | { readonly float: number }
  | readonly string[]
  | Int32Array;

/** A tensor, whose bytes are made when they are written. */
export interface GgufTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: FloatType;
  /** Returns the elements in the tensor's type, row-major. */
  readonly data: () => Float32Array | Uint16Array;
}

const VERSION = 3;
/** Bytes of which offsets of data are multiples, unless a file says otherwise. */
export const ALIGNMENT = 32;

/** Numbers of the types of values that are written. */
const types = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 };

/** Numbers of the types of tensors, and their bytes per element. */
const tensorTypes: Readonly<
  Record<FloatType, { readonly number: number; readonly bytes: number }>
> = {
  f32: { number: 0, bytes: 4 },
  f16: { number: 1, bytes: 2 },
  bf16: { number: 30, bytes: 2 },
};

/** Yields the bytes of a file in pieces. */
export function* ggufPieces(
  values: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): Generator<Uint8Array, void> {
  const header = new Bytes();
  header.raw(new TextEncoder().encode("GGUF"));
  header.u32(VERSION);
  header.u64(tensors.length);
  header.u64(values.size);
  for (const [name, value] of values) {
    header.string(name);
    header.value(value);
  }
  let offset = 0;
  const sizes = tensors.map(({ name, shape, type }) => {
    const { number, bytes } = tensorTypes[type];
    header.string(name);
    header.u32(shape.length);
    for (const length of shape.toReversed()) header.u64(length);
    header.u32(number);
    header.u64(offset);
    const size = shape.reduce((product, length) => product * length, bytes);
    offset += size + padding(size).length;
    return size;
  });
  yield header.taken();
  yield padding(header.length);
  for (const [i, { data }] of tensors.entries()) {
    const { buffer, byteOffset, byteLength } = data();
    yield new Uint8Array(buffer, byteOffset, byteLength);
    yield padding(sizes[i]!);
  }
}

/** Returns the zeros between a length and the next multiple of the alignment. */
function padding(length: number): Uint8Array {
  return new Uint8Array((ALIGNMENT - length % ALIGNMENT) % ALIGNMENT);
}

/** Bytes of numbers and texts. */
class Bytes {
  #bytes = new Uint8Array(2 ** 16);
  length = 0;

  taken(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  u32(value: number): void {
    this.#view(4).setUint32(0, value, true);
  }

  u64(value: number): void {
    this.#view(8).setBigUint64(0, BigInt(value), true);
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.length);
    this.raw(bytes);
  }

  /** Writes the type of a value and the value. */
  value(value: GgufValue): void {
    if (typeof value === "string") {
      this.u32(types.string);
      this.string(value);
    } else if (typeof value === "boolean") {
      this.u32(types.bool);
      this.raw(Uint8Array.of(value ? 1 : 0));
    } else if (typeof value === "number") {
      this.u32(types.u32);
      this.u32(value);
    } else if ("float" in value) {
      this.u32(types.f32);
      this.#view(4).setFloat32(0, value.float, true);
    } else if (value instanceof Int32Array) {
      this.#array(types.i32, value.length);
      for (const entry of value) this.#view(4).setInt32(0, entry, true);
    } else {
      this.#array(types.string, value.length);
      for (const entry of value) this.string(entry);
    }
  }

  #array(type: number, length: number): void {
    this.u32(types.array);
    this.u32(type);
    this.u64(length);
  }

  /** Returns a view of the next bytes, which become a part of the whole. */
  #view(length: number): DataView {
    this.#room(length);
    this.length += length;
    return new DataView(this.#bytes.buffer, this.length - length, length);
  }

  /** Makes room for more bytes. */
  #room(length: number): void {
    if (this.length + length <= this.#bytes.length) return;
    const more = new Uint8Array(2 * (this.length + length));
    more.set(this.taken());
    this.#bytes = more;
  }
}
