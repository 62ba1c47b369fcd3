/** Parameters on the host: initial values, copies to and from the flat stores, and floating-point operations per token. */

import type { DeviceBuffer, Numbers } from "../backends/backend.ts";
import type { ModelConfig } from "../config/model.ts";
import type { LayoutEntry, ParameterLayout } from "../graph/layout.ts";
import { CounterRandom, Purpose } from "../../kernels/random.ts";
import type { CheckpointFile } from "../formats/checkpoint.ts";
import type { TensorData, TensorInfo } from "../formats/safetensors.ts";
import { refusal } from "../refusal.ts";

/**
 * Returns the initial values of all parameters, in the order of the layout; padding is 0.
 *
 * The values of a parameter depend only on the seed, its name and its shape, so
 * variants of a model start with the same values in the parts they share.
 *
 * @throws {RangeError} if the parameters do not fit in memory
 */
export function initialParameters(
  layout: ParameterLayout,
  seed: number,
): Float32Array {
  const flat = allocate(layout);
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

/** Allocates an array for all parameters; the error names the size if it is too large. */
function allocate({ length, count }: ParameterLayout): Float32Array {
  try {
    return new Float32Array(length);
  } catch {
    throw refusal(
      RangeError,
      "create Model",
      `its ${count.toLocaleString("en")} parameters take ${
        (4 * length / 2 ** 30).toFixed(1)
      } GiB, more than can be allocated at once`,
    );
  }
}

/** Returns the 32-bit FNV-1a hash of a text (draft-eastlake-fnv). */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    value = Math.imul(value ^ byte, 0x01000193);
  }
  return value >>> 0;
}

/** Reads the tensors of a flat store; their names get `prefix`. */
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
  const data = flat.subarray(offset, offset + length);
  return data instanceof Float64Array
    ? { dtype: "F64", shape, data }
    : { dtype: "F32", shape, data: data as Float32Array };
}

/** Tensors, or what is known of them. */
type TensorInfos = ReadonlyMap<string, TensorInfo>;

/**
 * Checks that there are tensors for all parameters of a layout.
 *
 * @throws {RangeError} if a tensor is missing, has the wrong shape, or is not floating point
 */
export function checkParameters(
  layout: ParameterLayout,
  { tensors, prefix = "" }: { tensors: TensorInfos; prefix?: string },
): void {
  for (const entry of layout.entries) {
    const name = prefix + entry.name;
    const tensor = tensors.get(name);
    const refuse = (reason: string) =>
      refusal(RangeError, "load parameters", `${name} ${reason}`);
    if (tensor === undefined) throw refuse(`[${entry.shape}] is missing`);
    const { shape, dtype } = tensor;
    if (shape.join() !== entry.shape.join()) {
      throw refuse(`has shape [${shape}], not [${entry.shape}]`);
    }
    if (dtype !== "F32" && dtype !== "F64") {
      throw refuse(`has dtype ${dtype}, not F32 or F64`);
    }
  }
}

/**
 * Returns tensors as one flat array, in the order of the layout; padding is 0.
 *
 * @throws {RangeError} if a tensor is missing, has the wrong shape, or is not floating point
 */
export function flatParameters(
  layout: ParameterLayout,
  { tensors, prefix = "" }: {
    tensors: ReadonlyMap<string, TensorData>;
    prefix?: string;
  },
): Float64Array {
  checkParameters(layout, { tensors, prefix });
  const flat = new Float64Array(layout.length);
  for (const { name, offset } of layout.entries) {
    flat.set(tensors.get(prefix + name)!.data as Float32Array, offset);
  }
  return flat;
}

/**
 * Writes tensors to a flat store, in the order of the layout. Tensors that are read in pieces are written in pieces.
 *
 * @param tensors checked by {@linkcode checkParameters}
 */
export async function writeParameters(
  store: DeviceBuffer,
  layout: ParameterLayout,
  tensors: ReadonlyMap<string, TensorData> | CheckpointFile["readTensors"],
): Promise<void> {
  const offsets = new Map(
    layout.entries.map(({ name, offset }) => [name, offset]),
  );
  const take = (name: string, data: TensorData["data"], offset: number) => {
    const start = offsets.get(name);
    if (start !== undefined) store.write(data as Float32Array, start + offset);
  };
  if (typeof tensors === "function") await tensors(take);
  else for (const [name, { data }] of tensors) take(name, data, 0);
}

/**
 * Throws if tensors cannot cover a layout, before memory is allocated for parameters
 * that a configuration claims and the file does not have.
 *
 * @throws {RangeError} with both counts
 */
export function checkCount(
  layout: ParameterLayout,
  tensors: TensorInfos,
): void {
  let available = 0;
  for (const { shape } of tensors.values()) {
    available += shape.reduce((product, length) => product * length, 1);
  }
  if (layout.count > available) {
    throw refusal(
      RangeError,
      "load model",
      `its configuration has ${layout.count} parameters, the file only ${available} numbers`,
    );
  }
}

/** Computes `Model.flopsPerToken`. */
export function flopsPerToken(
  config: ModelConfig,
  layout: ParameterLayout,
): number {
  const { nLayer, nHead, headSize, blockSize, tiedHead, attention } = config;
  const multiplied = layout.entries.filter(({ name, shape }) =>
    shape.length === 2 && name !== "wpe.weight" &&
    (name !== "wte.weight" || tiedHead)
  ).reduce((sum, { length }) => sum + length, 0);
  const scores = attention ? 12 * nLayer * nHead * headSize * blockSize : 0;
  return 6 * multiplied + scores;
}
