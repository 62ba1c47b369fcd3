/**
 * Places of a model's parameters in the files of other programs: the tensors' names, their rows, and whether
 * they are transposed. One list serves reading and writing.
 *
 * Shapes: C `nEmbd`, V vocabulary, L `blockSize`, H `nHidden`, NH query heads and NKV key/value heads of HS numbers.
 */

import type { ModelConfig } from "../config/model.ts";
import { refuser } from "../refusal.ts";
import { floatsOf } from "./floats.ts";
import { cannotImport } from "./imported.ts";
import type { TensorData } from "./safetensors.ts";
import { quote } from "./safetensors_header.ts";

/** Rows of a parameter that another program has as a separate tensor. */
export interface Part {
  /** Name of the other program's tensor. */
  readonly name: string;
  readonly rows: number;
  /** Number of heads of queries or keys, whose rows may be in another order with rotary positions; 0 for all else. */
  readonly heads: number;
}

/** The place of a parameter. */
export interface Place {
  /** Name of the parameter. */
  readonly name: string;
  /** (rows, columns), or (rows). */
  readonly shape: readonly number[];
  /** The other program's tensors, whose rows follow one another in the parameter. */
  readonly parts: readonly Part[];
  /** True if the other program has the transposed matrix. */
  readonly transposed: boolean;
  /** Value of all numbers if the model has no such parameter; undefined if it always has it. */
  readonly absent: number | undefined;
}

/** Options of {@linkcode place}. */
type PlaceOptions = Partial<Pick<Place, "transposed" | "absent">>;

/** Returns the place of a parameter that the other program has as one tensor, or as several. */
export function place(
  name: string,
  shape: readonly number[],
  parts: string | readonly Part[],
  { transposed = false, absent }: PlaceOptions = {},
): Place {
  const list = typeof parts === "string"
    ? [{ name: parts, rows: shape[0]!, heads: 0 }]
    : parts;
  return { name, shape, parts: list, transposed, absent };
}

/** Returns a matrix with the rows of each head in another order. */
export type Reorder = (
  matrix: Float32Array,
  head: { readonly rows: number; readonly width: number },
) => Float32Array;

/** Tensors by name. */
type Tensors = ReadonlyMap<string, TensorData>;

/** A tensor of another program, whose numbers are made when it is written. */
export interface PlacedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Returns the numbers, row-major. */
  readonly floats: () => Float32Array;
}

const cannotExport = refuser(RangeError, "export model");

/**
 * Returns the tensors of another program that hold a parameter.
 *
 * @param reorder reorders the rows of queries and keys
 */
export function partsOf(
  { name, shape, parts, transposed, absent }: Place,
  tensors: Tensors,
  reorder?: Reorder,
): PlacedTensor[] {
  const [, columns] = shape;
  const width = columns ?? 1;
  let first = 0;
  return parts.map(({ name: partName, rows, heads }) => {
    const begin = first;
    first += rows;
    const own = columns === undefined ? [rows] : [rows, columns];
    return {
      name: partName,
      shape: transposed ? own.toReversed() : own,
      floats: () => {
        const tensor = tensors.get(name);
        if (tensor === undefined && absent !== undefined) {
          return new Float32Array(rows * width).fill(absent);
        }
        const size = shape.reduce((product, length) => product * length, 1);
        if (tensor === undefined || tensor.data.length !== size) {
          throw cannotExport(`the parameter ${name} [${shape}] is missing`);
        }
        const whole = floatsOf(name, tensor);
        const part = whole.subarray(begin * width, (begin + rows) * width);
        if (transposed) return transposedOf(part, rows, width);
        return reorder !== undefined && heads > 0
          ? reorder(part, { rows: rows / heads, width })
          : part;
      },
    };
  });
}

/**
 * Puts a parameter together from another program's tensors.
 *
 * @param take returns a tensor of the other program; undefined if there is none
 * @param reorder reorders the rows of queries and keys
 * @throws {SyntaxError} if a tensor is missing or has another shape
 */
export async function joined(
  { shape, parts, transposed }: Place,
  take: (
    name: string,
  ) => Promise<TensorData | undefined> | TensorData | undefined,
  reorder?: Reorder,
): Promise<TensorData> {
  const [, columns] = shape;
  const width = columns ?? 1;
  let whole: Float32Array | undefined;
  let at = 0;
  for (const { name: partName, rows, heads } of parts) {
    const own = columns === undefined ? [rows] : [rows, columns];
    const wanted = transposed ? own.toReversed() : own;
    const tensor = await take(partName);
    if (tensor === undefined) {
      throw cannotImport(`the tensor ${quote(partName)} is missing`);
    }
    if (tensor.shape.join() !== wanted.join()) {
      throw cannotImport(
        `the tensor ${
          quote(partName)
        } has shape [${tensor.shape}], its configuration asks for [${wanted}]`,
      );
    }
    const floats = floatsOf(partName, tensor);
    const part = transposed
      ? transposedOf(floats, width, rows)
      : reorder !== undefined && heads > 0
      ? reorder(floats, { rows: rows / heads, width })
      : floats;
    if (parts.length === 1) whole = part;
    else {
      whole ??= new Float32Array(shape.reduce((a, b) => a * b, 1));
      whole.set(part, at);
    }
    at += part.length;
  }
  return { dtype: "F32", shape, data: whole! };
}

/** Returns the first rows of a tensor, or all if it has no more. */
export function firstRows(tensor: TensorData, rows: number): TensorData {
  const [length = 0, ...rest] = tensor.shape;
  if (length <= rows) return tensor;
  const width = rest.reduce((product, length) => product * length, 1);
  return {
    ...tensor,
    shape: [rows, ...rest],
    data: tensor.data.slice(0, rows * width),
  } as TensorData;
}

/** Returns a transposed matrix of (rows, columns), in blocks that fit the processor's cache. */
function transposedOf(
  matrix: Float32Array,
  rows: number,
  columns: number,
): Float32Array {
  const result = new Float32Array(matrix.length);
  const block = 32;
  for (let row = 0; row < rows; row += block) {
    const lastRow = Math.min(row + block, rows);
    for (let column = 0; column < columns; column += block) {
      const lastColumn = Math.min(column + block, columns);
      for (let i = row; i < lastRow; i++) {
        for (let j = column; j < lastColumn; j++) {
          result[j * rows + i] = matrix[i * columns + j]!;
        }
      }
    }
  }
  return result;
}

/**
 * Reorders the rows of each head so that rows 2i and 2i + 1, which `rope` rotates together, become rows i and
 * i + HS/2, as `rope-half` has them. The scores of queries and keys stay the same, except for rounding.
 *
 * @param head.rows rows of a head, HS
 * @param head.width numbers of a row
 */
export function pairedAsHalf(
  matrix: Float32Array,
  head: { readonly rows: number; readonly width: number },
): Float32Array {
  return reordered(matrix, head, (row, half) => (row >> 1) + (row & 1) * half);
}

/** Reorders rows the other way: those that `rope-half` rotates together become neighbours, as `rope` has them. */
export function pairedAsNeighbours(
  matrix: Float32Array,
  head: { readonly rows: number; readonly width: number },
): Float32Array {
  return reordered(
    matrix,
    head,
    (row, half) => row < half ? 2 * row : 2 * (row - half) + 1,
  );
}

function reordered(
  matrix: Float32Array,
  { rows, width }: { readonly rows: number; readonly width: number },
  target: (row: number, half: number) => number,
): Float32Array {
  const result = new Float32Array(matrix.length);
  for (let first = 0; first < matrix.length; first += rows * width) {
    for (let row = 0; row < rows; row++) {
      const from = first + row * width;
      const to = first + target(row, rows / 2) * width;
      result.set(matrix.subarray(from, from + width), to);
    }
  }
  return result;
}

/** Returns the parts of `c_attn`: queries, keys and values as separate tensors. */
export function queryKeyValue(
  { nHead, nKvHead, headSize: size }: ModelConfig,
  name: (part: "q" | "k" | "v") => string,
): Part[] {
  return [
    { name: name("q"), rows: nHead * size, heads: nHead },
    { name: name("k"), rows: nKvHead * size, heads: nKvHead },
    { name: name("v"), rows: nKvHead * size, heads: 0 },
  ];
}

/** Returns the number of rows of `c_attn`. */
export function queryKeyValueRows(
  { nHead, nKvHead, headSize }: ModelConfig,
): number {
  return (nHead + 2 * nKvHead) * headSize;
}
