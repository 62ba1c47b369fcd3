/** A model's numbers on the host: how they start, and how they go to and from the flat stores. */

import type { DeviceBuffer, Numbers } from "./backends/backend.ts";
import type { LayoutEntry, ParameterLayout } from "./graph/layout.ts";
import { CounterRandom, Purpose } from "./random.ts";
import type { TensorData } from "./safetensors.ts";

/**
 * Initial values of all parameters, in the layout's order; the padding is 0.
 *
 * A parameter's values depend on the seed, its name and its shape alone, so
 * variants of a model start alike where they have the same parts.
 */
export function initialParameters(
  layout: ParameterLayout,
  seed: number,
): Float32Array {
  const flat = new Float32Array(layout.length);
  const random = new CounterRandom(seed, Purpose.init);
  for (const { name, offset, length, init } of layout.entries) {
    const stream = hash(name);
    const values = flat.subarray(offset, offset + length);
    switch (init.kind) {
      case "constant":
        values.fill(init.value);
        break;
      case "normal":
        for (let i = 0; i < length; i++) {
          values[i] = init.sd * random.normal(stream, i);
        }
        break;
      case "uniform":
        for (let i = 0; i < length; i++) {
          values[i] = init.bound * (2 * random.uniform(stream, i) - 1);
        }
    }
  }
  return flat;
}

/** FNV-1a, 32 bits (draft-eastlake-fnv). */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    value = Math.imul(value ^ byte, 0x01000193);
  }
  return value >>> 0;
}

/** The tensors of a flat store, by name with `prefix` before it. */
export async function readParameters(
  store: DeviceBuffer,
  layout: ParameterLayout,
  prefix = "",
): Promise<Map<string, TensorData>> {
  const flat = await store.read();
  return new Map(
    layout.entries.map((
      entry,
    ) => [prefix + entry.name, tensorOf(flat, entry)]),
  );
}

function tensorOf(
  flat: Numbers,
  { shape, offset, length }: LayoutEntry,
): TensorData {
  const data = flat.slice(offset, offset + length);
  return data instanceof Float64Array
    ? { dtype: "F64", shape, data }
    : { dtype: "F32", shape, data: Float32Array.from(data) };
}

/**
 * Writes tensors to a flat store.
 *
 * @throws {RangeError} if one is missing, or has another shape or not floating point numbers
 */
export function writeParameters(
  store: DeviceBuffer,
  layout: ParameterLayout,
  { tensors, prefix = "" }: {
    tensors: ReadonlyMap<string, TensorData>;
    prefix?: string;
  },
): void {
  const flat = new Float64Array(layout.length);
  for (const { name, shape, offset } of layout.entries) {
    const tensor = tensors.get(prefix + name);
    if (tensor === undefined) {
      throw new RangeError(
        `Cannot load parameters: ${prefix + name} [${shape}] is missing`,
      );
    }
    if (tensor.shape.join() !== shape.join()) {
      throw new RangeError(
        `Cannot load parameters: ${
          prefix + name
        } has shape [${tensor.shape}], not [${shape}]`,
      );
    }
    if (tensor.dtype !== "F32" && tensor.dtype !== "F64") {
      throw new RangeError(
        `Cannot load parameters: ${
          prefix + name
        } has dtype ${tensor.dtype}, not F32 or F64`,
      );
    }
    flat.set(tensor.data, offset);
  }
  store.write(flat);
}
