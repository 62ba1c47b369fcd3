/** Conversions between 32-bit floats and the 16-bit floats of other programs' files. */

import type { TensorData } from "./safetensors.ts";
import { refusal } from "../refusal.ts";

/** Number format of weights: 32-bit floats, 16-bit floats, or bfloat16. */
export type FloatType = "f32" | "f16" | "bf16";

/**
 * Returns the elements of a tensor of floats as 32-bit floats; those of an F32 tensor themselves.
 *
 * @throws {RangeError} if the tensor is not of floats
 */
export function floatsOf(name: string, tensor: TensorData): Float32Array {
  switch (tensor.dtype) {
    case "F32":
      return tensor.data;
    case "F64":
      return new Float32Array(tensor.data);
    case "F16":
      return new Float32Array(halves(tensor.data));
    case "BF16":
      return widened(tensor.data);
    default:
      throw refusal(
        RangeError,
        "read weights",
        `${name} has dtype ${tensor.dtype}, not F32, F16, BF16 or F64`,
      );
  }
}

/**
 * Returns the bits of 16-bit floats that are nearest to some numbers; of two equally near, the even one.
 *
 * @throws {RangeError} if a finite number is too large for the type
 */
export function narrowed(
  name: string,
  values: Float32Array,
  type: "f16" | "bf16",
): Uint16Array {
  const bits = type === "f16" ? halfBits(values) : shortened(values);
  const infinite = type === "f16" ? 0x7c00 : 0x7f80;
  const at = bits.findIndex((word, i) =>
    (word & 0x7fff) === infinite && Number.isFinite(values[i])
  );
  if (at < 0) return bits;
  throw refusal(
    RangeError,
    `write weights as ${type}`,
    `${name}[${at}] is ${values[at]}, which is too large`,
    { hint: "f32 holds it" },
  );
}

function halves({ buffer, byteOffset, length }: Uint16Array): Float16Array {
  return new Float16Array(buffer, byteOffset, length);
}

function halfBits(values: Float32Array): Uint16Array {
  return new Uint16Array(new Float16Array(values).buffer);
}

/** Widens bfloat16 numbers, which are the upper halves of 32-bit floats. */
function widened(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}

/** Rounds to bfloat16: half of the last place kept is added, less one if the number would become odd. */
function shortened({ buffer, byteOffset, length }: Float32Array): Uint16Array {
  const words = new Uint32Array(buffer, byteOffset, length);
  const bits = new Uint16Array(length);
  for (let i = 0; i < length; i++) {
    const word = words[i]!;
    const isNaN = (word & 0x7fffffff) > 0x7f800000;
    const rounded = word + 0x7fff + ((word >>> 16) & 1);
    bits[i] = isNaN ? (word >>> 16) | 0x40 : rounded >>> 16;
  }
  return bits;
}
