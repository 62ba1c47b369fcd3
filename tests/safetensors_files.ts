/** Safetensors files for the tests: one of every element type, and ones made by hand. */

import type { TensorData } from "../lib/safetensors.ts";

/** A file of this header, verbatim, and so many bytes of data: 0, 1, 2 … */
export function fileOf(
  header: string | Uint8Array,
  dataLength = 0,
): Uint8Array {
  const json = typeof header === "string"
    ? new TextEncoder().encode(header)
    : header;
  const bytes = new Uint8Array(8 + json.length + dataLength);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  for (let i = 0; i < dataLength; i++) bytes[8 + json.length + i] = i;
  return bytes;
}

/** An array of each element type, some without elements or dimensions. */
export function someTensors(): Map<string, TensorData> {
  return new Map<string, TensorData>([
    ["u8", { dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 255) }],
    ["i8", { dtype: "I8", shape: [1, 1], data: Int8Array.of(-128) }],
    ["u16", { dtype: "U16", shape: [2], data: Uint16Array.of(65535, 1) }],
    ["i16", { dtype: "I16", shape: [1], data: Int16Array.of(-2) }],
    ["u32", {
      dtype: "U32",
      shape: [2, 1],
      data: Uint32Array.of(4294967295, 0),
    }],
    ["i32", {
      dtype: "I32",
      shape: [3],
      data: Int32Array.of(-1, 0, 2147483647),
    }],
    ["u64", {
      dtype: "U64",
      shape: [1],
      data: BigUint64Array.of(2n ** 64n - 1n),
    }],
    ["i64", { dtype: "I64", shape: [1], data: BigInt64Array.of(-(2n ** 63n)) }],
    ["f32", {
      dtype: "F32",
      shape: [2, 3],
      data: Float32Array.of(0, -0, 1e-45, -1.5, Infinity, NaN),
    }],
    ["f64", { dtype: "F64", shape: [], data: Float64Array.of(Math.PI) }],
    ["none", { dtype: "F32", shape: [4, 0], data: new Float32Array() }],
  ]);
}
