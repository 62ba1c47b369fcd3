/** Writes plain data and tensors as Python's pickles (protocol 2) and as files of `torch.save`. `torch_file.ts` reads them. */

import { zipPieces } from "./zip.ts";

/** A tensor to write; the numbers of equal `floats` functions are stored once. */
export class SavedTensor {
  readonly shape: readonly number[];
  /** Returns the numbers, row-major, the same each time. */
  readonly floats: () => Float32Array;

  constructor(shape: readonly number[], floats: () => Float32Array) {
    this.shape = shape;
    this.floats = floats;
  }
}

/** A number that Python has as a float, even if it is whole. */
export class PythonFloat {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A list that Python has as a tuple. */
export class PythonTuple {
  readonly values: readonly Pickled[];
  constructor(values: readonly Pickled[]) {
    this.values = values;
  }
}

/** Values that can be written: whole numbers are Python's integers, arrays its lists, maps its dicts. */
export type Pickled =
  | null
  | boolean
  | number
  | string
  | PythonFloat
  | PythonTuple
  | SavedTensor
  | readonly Pickled[]
  | ReadonlyMap<string | number, Pickled>;

/** Returns the pickle of a value without tensors. */
export function pickleOf(value: Pickled): Uint8Array {
  return new PickleWriter().pickle(value);
}

/**
 * Yields a file of `torch.save` in pieces.
 *
 * @throws {RangeError} if it is larger than 4 GiB
 */
export function* torchPieces(value: Pickled): Generator<Uint8Array, void> {
  const writer = new PickleWriter();
  const pickle = writer.pickle(value);
  const text = (text: string) => () => new TextEncoder().encode(text);
  yield* zipPieces([
    { name: "archive/data.pkl", bytes: () => pickle },
    { name: "archive/byteorder", bytes: text("little") },
    ...writer.storages.map((floats, key) => ({
      name: `archive/data/${key}`,
      bytes: () => {
        const { buffer, byteOffset, byteLength } = floats();
        return new Uint8Array(buffer, byteOffset, byteLength);
      },
    })),
    { name: "archive/version", bytes: text("3\n") },
  ]);
}

class PickleWriter {
  /** The numbers of the storages, by their keys. */
  readonly storages: (() => Float32Array)[] = [];
  readonly #bytes: number[] = [];

  pickle(value: Pickled): Uint8Array {
    this.#bytes.push(0x80, 2);
    this.#value(value);
    this.#code(".");
    return Uint8Array.from(this.#bytes);
  }

  /** Writes an opcode, in pickle's own letters. */
  #code(letters: string): void {
    for (const letter of letters) this.#bytes.push(letter.charCodeAt(0));
  }

  #value(value: Pickled): void {
    if (value === null) this.#code("N");
    else if (typeof value === "boolean") this.#bytes.push(value ? 0x88 : 0x89);
    else if (typeof value === "string") this.#text(value);
    else if (typeof value === "number") {
      if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) {
        this.#int(value);
      } else this.#float(value);
    } else if (value instanceof PythonFloat) this.#float(value.value);
    else if (value instanceof PythonTuple) {
      this.#tuple(value.values.map((value) => () => this.#value(value)));
    } else if (value instanceof SavedTensor) this.#tensor(value);
    else if (value instanceof Map) {
      this.#code("}(");
      for (const [key, item] of value) {
        this.#value(key);
        this.#value(item);
      }
      this.#code("u");
    } else {
      this.#code("](");
      for (const item of value as readonly Pickled[]) this.#value(item);
      this.#code("e");
    }
  }

  #tuple(items: readonly (() => void)[]): void {
    this.#code("(");
    for (const item of items) item();
    this.#code("t");
  }

  #text(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.#code("X");
    this.#word(bytes.length);
    for (const byte of bytes) this.#bytes.push(byte);
  }

  #int(value: number): void {
    this.#code("J");
    this.#word(value);
  }

  #word(value: number): void {
    for (let byte = 0; byte < 4; byte++) {
      this.#bytes.push((value >>> (8 * byte)) & 255);
    }
  }

  #float(value: number): void {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value);
    this.#code("G");
    this.#bytes.push(...new Uint8Array(view.buffer));
  }

  #global(module: string, name: string): void {
    this.#code(`c${module}\n${name}\n`);
  }

  /** Writes the call that rebuilds a tensor: of its storage, offset 0, its shape and strides, no gradient, no hooks. */
  #tensor({ shape, floats }: SavedTensor): void {
    const known = this.storages.indexOf(floats);
    const key = known < 0 ? this.storages.push(floats) - 1 : known;
    const count = (from: number) =>
      shape.slice(from).reduce((product, length) => product * length, 1);
    this.#global("torch._utils", "_rebuild_tensor_v2");
    this.#tuple([
      () => {
        this.#tuple([
          () => this.#text("storage"),
          () => this.#global("torch", "FloatStorage"),
          () => this.#text(String(key)),
          () => this.#text("cpu"),
          () => this.#int(count(0)),
        ]);
        this.#code("Q");
      },
      () => this.#int(0),
      () => this.#tuple(shape.map((length) => () => this.#int(length))),
      () =>
        this.#tuple(shape.map((_, axis) => () => this.#int(count(axis + 1)))),
      () => this.#value(false),
      () => {
        this.#global("collections", "OrderedDict");
        this.#code(")R");
      },
    ]);
    this.#code("R");
  }
}
