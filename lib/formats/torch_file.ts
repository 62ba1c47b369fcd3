/**
 * Files of `torch.save`, of PyTorch 1.6 and later: a zip archive with a pickle of everything but the numbers, and a
 * file for each storage of numbers (torch/serialization.py). Nothing of a file is executed, and tensors are read one by one.
 */

import { cannotImport } from "./imported.ts";
import { PickleName, readPickle } from "./pickle.ts";
import type { ByteSource, Dtype, TensorData } from "./safetensors.ts";
import { arrayOf, elementSize } from "./safetensors.ts";
import { clip, quote } from "./safetensors_header.ts";
import { openZip, type ZipArchive } from "./zip.ts";

/** A tensor of a file, whose numbers are not read yet. */
export class TorchTensor {
  readonly shape: readonly number[];
  readonly #read: () => Promise<TensorData>;

  constructor(shape: readonly number[], read: () => Promise<TensorData>) {
    this.shape = shape;
    this.#read = read;
  }

  /** Reads the numbers. */
  read(): Promise<TensorData> {
    return this.#read();
  }
}

/** Element types of storages, by their classes. */
const storageTypes: ReadonlyMap<string, Dtype> = new Map([
  ["torch.FloatStorage", "F32"],
  ["torch.DoubleStorage", "F64"],
  ["torch.HalfStorage", "F16"],
  ["torch.BFloat16Storage", "BF16"],
  ["torch.LongStorage", "I64"],
  ["torch.IntStorage", "I32"],
  ["torch.ShortStorage", "I16"],
  ["torch.CharStorage", "I8"],
  ["torch.ByteStorage", "U8"],
  ["torch.BoolStorage", "U8"],
]);

/** Numbers that one or more tensors show. */
class Storage {
  readonly dtype: Dtype;
  readonly length: number;
  readonly #read: () => Promise<Uint8Array>;

  constructor(
    { dtype, length }: { readonly dtype: Dtype; readonly length: number },
    read: () => Promise<Uint8Array>,
  ) {
    this.dtype = dtype;
    this.length = length;
    this.#read = read;
  }

  async tensor(offset: number, shape: readonly number[]): Promise<TensorData> {
    const size = elementSize(this.dtype);
    const begin = offset * size;
    const bytes = await this.#read();
    return arrayOf(
      this.dtype,
      shape,
      bytes.subarray(begin, begin + countOf(shape) * size),
    );
  }
}

/**
 * Opens a file of `torch.save` and returns what was saved: plain data, with a {@linkcode TorchTensor} for each tensor.
 *
 * @throws {SyntaxError} if the file is not of `torch.save`, is damaged, or holds anything but plain data and tensors of numbers
 */
export async function openTorchFile(source: ByteSource): Promise<unknown> {
  const archive = await openZip(source);
  const pickle = [...archive.sizes.keys()]
    .find((name) => /^[^/]*\/data\.pkl$/.test(name));
  if (pickle === undefined) {
    throw cannotImport(
      "the archive holds no data.pkl, as torch.save writes it",
    );
  }
  const folder = pickle.slice(0, pickle.indexOf("/"));
  const order = `${folder}/byteorder`;
  if (archive.sizes.has(order)) {
    const name = new TextDecoder().decode(await archive.read(order));
    if (name !== "little") {
      throw cannotImport(`its numbers are ${quote(name)}-endian, not little`);
    }
  }
  return readPickle(await archive.read(pickle), {
    calls: new Map([
      ["collections.OrderedDict", orderedDict],
      ["torch._utils._rebuild_tensor_v2", rebuiltTensor],
      ["torch._utils._rebuild_parameter", ([tensor]) => tensor],
    ]),
    mentions: new Set(storageTypes.keys()),
    persistent: (id) => storageOf(id, archive, folder),
  });
}

function orderedDict(args: readonly unknown[]): unknown {
  if (args.length === 0) return new Map();
  throw cannotImport("an OrderedDict is made with arguments");
}

/** Makes a tensor of a storage, an offset, a shape and strides; what follows them does not matter. */
function rebuiltTensor(
  [storage, offset, shape, strides]: readonly unknown[],
): unknown {
  if (
    !(storage instanceof Storage) || !isCount(offset) || !isCounts(shape) ||
    !isCounts(strides) || shape.length !== strides.length
  ) {
    throw cannotImport("a tensor is made of something other than numbers");
  }
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== stride) {
      throw cannotImport(
        `a tensor of shape [${
          clip(String(shape))
        }] is not a contiguous part of its storage`,
      );
    }
    stride *= shape[axis]!;
  }
  if (offset + countOf(shape) > storage.length) {
    throw cannotImport(
      `a tensor of shape [${
        clip(String(shape))
      }] ends past its storage of ${storage.length} numbers`,
    );
  }
  return new TorchTensor(shape, () => storage.tensor(offset, shape));
}

/** Returns the storage of a persistent id: ("storage", class, key, location, length). */
function storageOf(
  id: unknown,
  archive: ZipArchive,
  folder: string,
): Storage {
  const [kind, type, key, , length] = Array.isArray(id) ? id : [];
  const dtype = type instanceof PickleName
    ? storageTypes.get(type.name)
    : undefined;
  if (
    kind !== "storage" || dtype === undefined || typeof key !== "string" ||
    !isCount(length)
  ) {
    throw cannotImport("the pickle refers to something other than a storage");
  }
  const name = `${folder}/data/${key}`;
  const size = archive.sizes.get(name);
  if (size !== length * elementSize(dtype)) {
    throw cannotImport(
      `${quote(name)} has ${
        size ?? "no"
      } bytes, and should hold ${length} numbers of ${dtype}`,
    );
  }
  return new Storage({ dtype, length }, () => archive.read(name));
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((count, length) => count * length, 1);
}
