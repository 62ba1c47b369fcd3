/**
 * A writer of ONNX files: an {@linkcode OnnxGraph} collects nodes and constants and is encoded as a ModelProto. Field
 * numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3). The graph of a model
 * is made in `onnx.ts`.
 */

import {
  bytesField,
  floatField,
  integerField,
  lengthOf,
  type Message,
  messageField,
  piecesOf,
  textField,
} from "./protobuf.ts";
import { refusal } from "../refusal.ts";

/** Attribute of a node. Numbers that the operator declares as floats are given as `{ float }`. */
export type OnnxAttribute =
  | number
  | readonly number[]
  | { readonly float: number };

/** Attributes of a node by name. */
export type OnnxAttributes = Readonly<Record<string, OnnxAttribute>>;

/** An input or output of a graph. */
export interface OnnxValue {
  readonly name: string;
  /** Lengths of the dimensions; a name stands for a length that is chosen at run time. */
  readonly shape: readonly (number | string)[];
}

/** Elements of a constant; those of a `Uint16Array` are the bits of 16-bit floats. */
type Elements = Float32Array | Uint16Array | BigInt64Array;

/** Number of 32-bit floats among the element types, TensorProto.DataType. */
export const FLOAT = 1;
const INT64 = 7;
const FLOAT16 = 10;

/** Version of the operator set: 17 is the first with LayerNormalization. */
const OPSET = 17;
/** Version of the file format, the one of opset 17. */
const IR_VERSION = 8;

/** Longest message that programs read, a limit of protocol buffers. */
const MAX_BYTES = 2 ** 31 - 1;

/** Collects the nodes and constants of a graph. */
export class OnnxGraph {
  readonly #nodes: Message[] = [];
  readonly #constants: Message[] = [];
  readonly #known = new Map<string, string>();
  /** Part of the model that nodes belong to; it begins their names. */
  part = "";

  /** Adds a constant and returns its name. */
  constant(name: string, shape: readonly number[], data: Elements): string {
    const type = data instanceof Float32Array
      ? FLOAT
      : data instanceof Uint16Array
      ? FLOAT16
      : INT64;
    this.#constants.push([
      ...shape.map((length) => integerField(1, length)),
      integerField(2, type),
      textField(8, name),
      bytesField(9, data),
    ]);
    return name;
  }

  /** Returns the name of a constant list of integers. */
  integers(...values: readonly number[]): string {
    return this.once(
      `[${values}]`,
      (name) =>
        this.constant(
          name,
          [values.length],
          BigInt64Array.from(values, BigInt),
        ),
    );
  }

  /** Returns the name of a constant integer. */
  integer(value: number): string {
    return this.once(
      `integer ${value}`,
      (name) => this.constant(name, [], BigInt64Array.of(BigInt(value))),
    );
  }

  /** Returns the name of a constant 32-bit float. */
  number(value: number): string {
    return this.once(
      `${value}`,
      (name) => this.constant(name, [], Float32Array.of(value)),
    );
  }

  /** Returns the name that `make` returned at the first call with this key. */
  once(key: string, make: (key: string) => string): string {
    const known = this.#known.get(key) ?? make(key);
    this.#known.set(key, known);
    return known;
  }

  /**
   * Adds a node and returns the name of its output.
   *
   * @param operator name of the operator, e.g. `MatMul`
   * @param inputs names of constants, of the graph's input, or of other nodes' outputs
   */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: OnnxAttributes = {},
  ): string {
    return this.nodes(operator, inputs, { attributes, outputs: 1 })[0]!;
  }

  /** Adds a node with several outputs and returns their names. */
  nodes(
    operator: string,
    inputs: readonly string[],
    { attributes = {}, outputs }: {
      readonly attributes?: OnnxAttributes;
      readonly outputs: number;
    },
  ): string[] {
    const name = `${this.part}/${operator}_${this.#nodes.length}`;
    const names = Array.from(
      { length: outputs },
      (_, i) => i === 0 ? name : `${name}_${i}`,
    );
    this.#nodes.push([
      ...inputs.map((input) => textField(1, input)),
      ...names.map((output) => textField(2, output)),
      textField(3, name),
      textField(4, operator),
      ...Object.entries(attributes).map((entry) =>
        messageField(5, attribute(...entry))
      ),
    ]);
    return names;
  }

  /** Adds a node whose output is the graph's. */
  output(name: string, from: string): void {
    this.#nodes.push([
      textField(1, from),
      textField(2, name),
      textField(4, "Identity"),
    ]);
  }

  /**
   * Returns the bytes of the file, in pieces.
   *
   * @param input name and shape of the input, of 64-bit integers
   * @param output shape of the output, of 32-bit floats; a node's output has its name
   * @param metadata texts by name, which runtimes show and otherwise ignore
   * @throws {RangeError} if the file would be longer than 2 GiB
   */
  encode(
    { input, output, metadata }: {
      readonly input: OnnxValue;
      readonly output: OnnxValue;
      readonly metadata: Readonly<Record<string, string>>;
    },
  ): Uint8Array[] {
    const graph = [
      ...this.#nodes.map((node) => messageField(1, node)),
      textField(2, "lm"),
      ...this.#constants.map((constant) => messageField(5, constant)),
      messageField(11, valueInfo(INT64, input)),
      messageField(12, valueInfo(FLOAT, output)),
    ];
    const model = [
      integerField(1, IR_VERSION),
      textField(2, "lm"),
      messageField(7, graph),
      messageField(8, [textField(1, ""), integerField(2, OPSET)]),
      ...Object.entries(metadata).map(([key, value]) =>
        messageField(14, [textField(1, key), textField(2, value)])
      ),
    ];
    const length = lengthOf(model);
    if (length <= MAX_BYTES) return piecesOf(model);
    throw refusal(
      RangeError,
      "export to onnx",
      `the file would have ${length} bytes, the limit of its format is ${MAX_BYTES}`,
    );
  }
}

/** Returns an AttributeProto; its last field is the type: FLOAT 1, INT 2, INTS 7. */
function attribute(name: string, value: OnnxAttribute): Message {
  const content = typeof value === "number"
    ? [integerField(3, value), integerField(20, 2)]
    : "float" in value
    ? [floatField(2, value.float), integerField(20, 1)]
    : [...value.map((entry) => integerField(8, entry)), integerField(20, 7)];
  return [textField(1, name), ...content];
}

/** Returns a ValueInfoProto. */
function valueInfo(type: number, { name, shape }: OnnxValue): Message {
  const dims = shape.map((length) =>
    messageField(1, [
      typeof length === "string"
        ? textField(2, length)
        : integerField(1, length),
    ])
  );
  const tensor = [integerField(1, type), messageField(2, dims)];
  return [textField(1, name), messageField(2, [messageField(1, tensor)])];
}
