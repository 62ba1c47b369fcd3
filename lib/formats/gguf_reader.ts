/**
 * A strict reader of GGUF files, versions 2 and 3, whose tensors are read one by one. `gguf_file.ts` has the layout.
 * Nothing is allocated for a length that a file claims and is too short for.
 */

import { blockTypes, widened } from "./gguf_blocks.ts";
import { ALIGNMENT } from "./gguf_file.ts";
import { cannotImport } from "./imported.ts";
import {
  arrayOf,
  type ByteSource,
  type Dtype,
  elementSize,
  type TensorData,
} from "./safetensors.ts";
import { clip, quote } from "./safetensors_header.ts";

/** A value of a file. Integers of 64 bits are exact up to 2^53. */
export type GgufRead =
  | string
  | boolean
  | number
  | readonly string[]
  | readonly number[]
  | readonly boolean[];

/** An open file. */
export interface GgufFile {
  readonly values: ReadonlyMap<string, GgufRead>;
  /** Lengths of the dimensions of each tensor, from the first to the last. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** Reads a tensor; quantized numbers become 32-bit floats. */
  read(name: string): Promise<TensorData>;
}

/** Bytes of a header that are read at first; the tokens of a large vocabulary take some megabytes more. */
const FIRST_BYTES = 2 ** 16;

/** Most bytes of a header. */
const MOST_HEADER = 2 ** 26;

/** Limits of ggml. */
const [MOST_NAME, MOST_DIMENSIONS, MOST_ALIGNMENT] = [2 ** 16, 4, 2 ** 16];

/** A type of tensors: numbers of a safetensors type, or blocks. */
interface TensorType {
  readonly name: string;
  /** Numbers of a block, and its bytes; a block is one number, if they are not quantized. */
  readonly numbers: number;
  readonly bytes: number;
  readonly toTensor: (
    data: Uint8Array,
    shape: readonly number[],
  ) => TensorData;
}

const tensorTypes: ReadonlyMap<number, TensorType> = new Map([
  ...([[0, "F32"], [1, "F16"], [28, "F64"], [30, "BF16"]] as const).map(
    ([number, dtype]) => [number, floatType(dtype)] as const,
  ),
  ...[...blockTypes].map(([number, type]) =>
    [number, {
      ...type,
      toTensor: (data: Uint8Array, shape: readonly number[]): TensorData => ({
        dtype: "F32",
        shape,
        data: widened(type, data),
      }),
    }] as const
  ),
]);

function floatType(dtype: Dtype): TensorType {
  return {
    name: dtype,
    numbers: 1,
    bytes: elementSize(dtype),
    toTensor: (data, shape) => arrayOf(dtype, shape, data),
  };
}

/** Names of types that are not read, for messages. */
const otherTypes: Readonly<Record<number, string>> = {
  ...{ 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K" },
  ...{ 13: "Q5_K", 15: "Q8_K", 20: "IQ4_NL", 23: "IQ4_XS", 39: "MXFP4" },
};

/** A tensor as the header describes it. */
interface Described {
  readonly shape: readonly number[];
  readonly type: TensorType;
  /** Offset of its data in the file. */
  readonly begin: number;
  /** Bytes of its data. */
  readonly size: number;
}

/**
 * Opens a file and reads its header.
 *
 * @throws {SyntaxError} if it is not GGUF, or damaged; the message says where
 */
export async function openGguf(source: ByteSource): Promise<GgufFile> {
  const { values, tensors } = await readHeader(source);
  return {
    values,
    shapes: new Map([...tensors].map(([name, { shape }]) => [name, shape])),
    async read(name) {
      const { shape, type, begin, size } = tensors.get(name)!;
      return type.toTensor(await source.read(begin, begin + size), shape);
    },
  };
}

interface Header {
  readonly values: Map<string, GgufRead>;
  readonly tensors: Map<string, Described>;
}

/** Reads more of a file until the header ends in it, which only its content tells. */
async function readHeader(source: ByteSource): Promise<Header> {
  const most = Math.min(source.size, MOST_HEADER);
  for (let length = FIRST_BYTES;; length *= 4) {
    const bytes = await source.read(0, Math.min(length, most));
    try {
      return parseHeader(new Cursor(bytes, source.size));
    } catch (error) {
      if (!(error instanceof EndOfBytes)) throw error;
    }
    if (length < most) continue;
    throw cannotImport(
      most === source.size
        ? `the file ends within its header, at byte ${source.size}`
        : `its header has more than ${MOST_HEADER} bytes`,
    );
  }
}

/** The error of a cursor that needs more bytes than it was given. */
class EndOfBytes extends Error {
  override readonly name = "EndOfBytes";
}

function parseHeader(cursor: Cursor): Header {
  const magic = cursor.bytes(4);
  if (magic.some((byte, i) => byte !== "GGUF".charCodeAt(i))) {
    throw cannotImport("it does not begin with GGUF");
  }
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    throw cannotImport(
      version === 0x03000000
        ? "its numbers are big-endian, not little"
        : `it has version ${version}, and this program knows 2 and 3`,
    );
  }
  // A tensor takes at least a name, a number of dimensions, a type and an offset; a value a name, a type and a byte.
  const tensorCount = cursor.count("tensors", 8 + 4 + 4 + 8);
  const valueCount = cursor.count("values", 8 + 4 + 1);
  const values = new Map<string, GgufRead>();
  for (let i = 0; i < valueCount; i++) {
    const name = cursor.string(MOST_NAME);
    const value = cursor.value(name, cursor.u32());
    if (values.has(name)) {
      throw cannotImport(`the value ${quote(name)} is there twice`);
    }
    values.set(name, value);
  }
  const described = Array.from(
    { length: tensorCount },
    () => cursor.tensor(),
  );
  return { values, tensors: placed(described, alignmentOf(values), cursor) };
}

function alignmentOf(values: ReadonlyMap<string, GgufRead>): number {
  const name = "general.alignment";
  const alignment = values.get(name) ?? ALIGNMENT;
  if (
    typeof alignment === "number" && Number.isInteger(alignment / 8) &&
    alignment > 0 && alignment <= MOST_ALIGNMENT
  ) return alignment;
  throw cannotImport(
    `${name} is ${
      clip(String(alignment))
    }, not a multiple of 8 up to ${MOST_ALIGNMENT}`,
  );
}

/** Returns the tensors by name, each with its place in the file. */
function placed(
  described: readonly (readonly [name: string, Described])[],
  alignment: number,
  { at, fileSize }: Cursor,
): Map<string, Described> {
  const first = Math.ceil(at / alignment) * alignment;
  const tensors = new Map<string, Described>();
  let end = 0;
  const inOrder = described.toSorted(([, a], [, b]) => a.begin - b.begin);
  for (const [name, { begin, size }] of inOrder) {
    if (begin % alignment !== 0 || begin < end) {
      throw cannotImport(
        `the tensor ${quote(name)} begins at ${begin}, ${
          begin < end ? "inside another" : `not at a multiple of ${alignment}`
        }`,
      );
    }
    end = begin + size;
    if (first + end > fileSize) {
      throw cannotImport(
        `the tensor ${quote(name)} ends at byte ${
          first + end
        }, the file at ${fileSize}`,
      );
    }
  }
  for (const [name, tensor] of described) {
    if (tensors.has(name)) {
      throw cannotImport(`the tensor ${quote(name)} is there twice`);
    }
    tensors.set(name, { ...tensor, begin: first + tensor.begin });
  }
  return tensors;
}

interface NumberArray {
  new (buffer: ArrayBuffer): Iterable<number | bigint>;
  readonly BYTES_PER_ELEMENT: number;
}

/** Typed arrays of the types of numbers, by the types' numbers. */
const numberArrays: ReadonlyMap<number, NumberArray> = new Map<
  number,
  NumberArray
>([
  [0, Uint8Array],
  [1, Int8Array],
  [2, Uint16Array],
  [3, Int16Array],
  [4, Uint32Array],
  [5, Int32Array],
  [6, Float32Array],
  [10, BigUint64Array],
  [11, BigInt64Array],
  [12, Float64Array],
]);
const [BOOL, STRING, ARRAY] = [7, 8, 9];

/** Reads a header from the left to the right. */
class Cursor {
  readonly fileSize: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #decoder = new TextDecoder("utf-8", {
    fatal: true,
    ignoreBOM: true,
  });
  at = 0;

  /** @param bytes the first bytes of a file of `fileSize` bytes */
  constructor(bytes: Uint8Array, fileSize: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.fileSize = fileSize;
  }

  /** Returns the next bytes. */
  bytes(count: number): Uint8Array {
    const begin = this.#take(count);
    return this.#bytes.subarray(begin, begin + count);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #take(count: number): number {
    const begin = this.at;
    if (begin + count > this.#bytes.length) throw new EndOfBytes();
    this.at += count;
    return begin;
  }

  /** Returns an integer of 64 bits. */
  u64(what: string): number {
    const value = this.#view.getBigUint64(this.#take(8), true);
    const number = Number(value);
    if (Number.isSafeInteger(number)) return number;
    throw cannotImport(`${what} is ${value}, more than can be counted`);
  }

  /** Returns a number of things, each of which takes some bytes at least. */
  count(what: string, bytes: number): number {
    const count = this.u64(`the number of ${what}`);
    const most = Math.min(this.fileSize, MOST_HEADER);
    if (count * bytes <= most - this.at) return count;
    throw cannotImport(
      `it claims ${count} ${what} at byte ${this.at}, and its header can have ${most} bytes`,
    );
  }

  string(most: number = Infinity): string {
    const length = this.count("bytes of text", 1);
    if (length > most) {
      throw cannotImport(`a name has ${length} bytes, the limit is ${most}`);
    }
    try {
      return this.#decoder.decode(this.bytes(length));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw cannotImport(`the text before byte ${this.at} is not UTF-8`);
    }
  }

  /** Returns a value of a type. */
  value(name: string, type: number): GgufRead {
    if (type !== ARRAY) return this.#values(name, type, 1)[0]!;
    const element = this.u32();
    const bytes = element === STRING
      ? 8
      : numberArrays.get(element)?.BYTES_PER_ELEMENT ?? 1;
    return this.#values(name, element, this.count("values", bytes));
  }

  #values(
    name: string,
    type: number,
    count: number,
  ): string[] | number[] | boolean[] {
    if (type === STRING) {
      return Array.from({ length: count }, () => this.string());
    }
    if (type === BOOL) return Array.from(this.bytes(count), (byte) => byte > 0);
    const Numbers = numberArrays.get(type);
    if (Numbers === undefined) {
      throw cannotImport(`the value ${quote(name)} has the type ${type}`);
    }
    // A copy, as typed arrays must begin at a multiple of their element.
    const { buffer } = this.bytes(count * Numbers.BYTES_PER_ELEMENT).slice();
    return Array.from(new Numbers(buffer), Number);
  }

  /** Returns a tensor, with the offset of its data among the data of all tensors. */
  tensor(): [name: string, Described] {
    const name = this.string(MOST_NAME);
    const dimensions = this.u32();
    if (dimensions > MOST_DIMENSIONS) {
      throw cannotImport(
        `the tensor ${
          quote(name)
        } has ${dimensions} dimensions, the limit is ${MOST_DIMENSIONS}`,
      );
    }
    const shape = Array.from(
      { length: dimensions },
      () => this.u64("a dimension"),
    ).reverse();
    const number = this.u32();
    const type = tensorTypes.get(number);
    if (type === undefined) {
      const known = [...tensorTypes.values()].map(({ name }) => name);
      throw cannotImport(
        `the tensor ${quote(name)} has the type ${
          otherTypes[number] ?? number
        }, and this program knows only ${known.join(", ")}`,
      );
    }
    const row = shape.at(-1) ?? 1;
    if (row % type.numbers !== 0) {
      throw cannotImport(
        `the tensor ${
          quote(name)
        } has rows of ${row} numbers, and ${type.name} is in blocks of ${type.numbers}`,
      );
    }
    const begin = this.u64("an offset");
    const size = shape.reduce((all, length) => all * length, 1) /
      type.numbers * type.bytes;
    return [name, { shape, type, begin, size }];
  }
}
