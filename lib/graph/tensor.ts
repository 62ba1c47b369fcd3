/**
 * Computation graphs: tensors (names for arrays, without data), nodes (ops applied
 * to tensors), and the interface of ops. Shapes are static.
 *
 * The ops are in `ops/`; `autodiff.ts` derives gradients, and `compile.ts` plans memory.
 */

import type { KernelDims, KernelName } from "../../kernels/vocabulary.ts";
import type { DType } from "./plan.ts";
import { refusal } from "../refusal.ts";

/** Initial values of a parameter: a normal or uniform draw, or a constant. */
export type Init =
  | { readonly kind: "normal"; readonly sd: number }
  | { readonly kind: "uniform"; readonly bound: number }
  | { readonly kind: "constant"; readonly value: number };

/** Memory of a tensor. See `BufferKind` in `plan.ts`. */
export type Storage =
  | { readonly kind: "slot" }
  | { readonly kind: "input" }
  | { readonly kind: "store" }
  | { readonly kind: "parameter"; readonly init: Init }
  | { readonly kind: "gradient"; readonly of: Tensor }
  | {
    readonly kind: "range";
    readonly store: string;
    readonly offset: number;
  }
  | { readonly kind: "part"; readonly of: Tensor; readonly offset: number };

/** A name for an array of a fixed shape. */
export interface Tensor {
  readonly graph: Graph;
  /** Position in {@linkcode Graph.tensors}. */
  readonly id: number;
  /** Name, unique among parameters, inputs and stores; for parameters it is GPT-2's name. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly storage: Storage;
}

/** An op applied to tensors, as plain data, so that a graph can be printed. */
export interface Node<Attrs = unknown> {
  readonly op: Op<Attrs>;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attrs: Attrs;
  /** Part of the model that the node belongs to. */
  readonly label: string;
}

/** A dispatch whose operands are still tensors. */
export type TensorDispatch = {
  readonly [Name in KernelName]: {
    readonly kernel: Name;
    readonly outputs: readonly Tensor[];
    readonly inputs: readonly Tensor[];
    readonly dims: KernelDims[Name];
  };
}[KernelName];

/** Callback for the dispatches that an op emits, in order. */
export type Emit = (dispatch: TensorDispatch) => void;

/** An op: emits the dispatches of its result and of its derivative. */
export interface Op<Attrs = unknown> {
  readonly name: string;
  forward(node: Node<Attrs>, emit: Emit): void;
  /** Emits the derivative; absent if the op is never differentiated. */
  backward?(node: Node<Attrs>, gradients: Gradients, emit: Emit): void;
}

/**
 * Gradients during a backward pass, for the derivative rule of an op.
 *
 * Parameter gradients always accumulate. The first contribution to an activation
 * gradient is stored, and later contributions are added; `into` returns which applies.
 */
export interface Gradients {
  /** Returns the complete gradient of an output of the node. */
  of(output: Tensor): Tensor;
  /** Returns whether the gradient of an input is needed. */
  needs(input: Tensor): boolean;
  /** Returns the tensor for a contribution, for kernels that can both store and accumulate. */
  into(input: Tensor): { gradient: Tensor; accumulate: boolean };
  /** Returns a new tensor for a contribution, for kernels that only store. The contribution is added to earlier ones. */
  fresh(input: Tensor): Tensor;
  /** Contributes an existing gradient without copying it. */
  share(input: Tensor, gradient: Tensor): void;
}

/** Returns the number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** A computation: tensors and the nodes that compute them. */
export class Graph {
  readonly #tensors: Tensor[] = [];
  readonly #nodes: Node[] = [];
  readonly #named = new Map<string, Tensor>();
  #path = "";

  /** All tensors, in order of creation. */
  get tensors(): readonly Tensor[] {
    return this.#tensors;
  }

  /** All nodes, in the order they run. */
  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  /** Parameters, in order of declaration. */
  get parameters(): readonly Tensor[] {
    return this.#tensors.filter((tensor) =>
      tensor.storage.kind === "parameter"
    );
  }

  /** Declares a trainable tensor. A second call with the same name returns the same tensor, as a tied head does. */
  parameter(name: string, shape: readonly number[], init: Init): Tensor {
    return this.#once(name, shape, "f32", { kind: "parameter", init });
  }

  /** Declares a tensor that the host writes before a run. */
  input(name: string, shape: readonly number[], dtype: DType): Tensor {
    return this.#once(name, shape, dtype, { kind: "input" });
  }

  /** Declares a tensor that outlives the plan and is shared with other plans by name. */
  store(
    name: string,
    shape: readonly number[],
    dtype: DType = "f32",
  ): Tensor {
    return this.#once(name, shape, dtype, { kind: "store" });
  }

  /** Declares a range of a flat store that has one number per parameter. */
  range(
    store: string,
    { offset, length }: { readonly offset: number; readonly length: number },
  ): Tensor {
    const storage = { kind: "range", store, offset } as const;
    const name = `${store}+${offset}[${length}]`;
    return this.#once(name, [length], "f32", storage);
  }

  /** Creates a tensor that is a part of another one, from element `offset` on, a multiple of 64. */
  part(
    of: Tensor,
    { offset, shape }: {
      readonly offset: number;
      readonly shape: readonly number[];
    },
  ): Tensor {
    return this.#create("", shape, of.dtype, { kind: "part", of, offset });
  }

  /** Creates a tensor that a dispatch computes. */
  activation(shape: readonly number[]): Tensor {
    return this.#create("", shape, "f32", { kind: "slot" });
  }

  /** Returns the gradient of a parameter. */
  gradient(of: Tensor): Tensor {
    return this.#once(`d ${of.name}`, of.shape, "f32", {
      kind: "gradient",
      of,
    });
  }

  /** Adds a node and returns its outputs. */
  apply<Attrs>(
    op: Op<Attrs>,
    { inputs, outputs, attrs }: {
      inputs: readonly Tensor[];
      outputs: readonly (Tensor | readonly number[])[];
      attrs: Attrs;
    },
  ): Tensor[] {
    const results = outputs.map((output) =>
      "graph" in output ? output : this.activation(output)
    );
    this.#nodes.push({
      op: op as Op,
      inputs,
      outputs: results,
      attrs,
      label: this.#path,
    });
    return results;
  }

  /** Current part of the model, e.g. `h.0.attn`; it prefixes parameter names. */
  get path(): string {
    return this.#path;
  }

  /** Runs `describe` with the name of a part appended to `path`. */
  within<Result>(part: string, describe: () => Result): Result {
    const outer = this.#path;
    this.#path = outer === "" ? part : `${outer}.${part}`;
    try {
      return describe();
    } finally {
      this.#path = outer;
    }
  }

  #once(
    name: string,
    shape: readonly number[],
    dtype: DType,
    storage: Storage,
  ): Tensor {
    const known = this.#named.get(name);
    if (known === undefined) {
      const tensor = this.#create(name, shape, dtype, storage);
      this.#named.set(name, tensor);
      return tensor;
    }
    if (
      known.storage.kind !== storage.kind || known.dtype !== dtype ||
      known.shape.join() !== shape.join()
    ) {
      throw refusal(
        RangeError,
        `declare ${name} as ${storage.kind} [${shape}]`,
        `it is ${known.storage.kind} [${known.shape}] already`,
      );
    }
    return known;
  }

  #create(
    name: string,
    shape: readonly number[],
    dtype: DType,
    storage: Storage,
  ): Tensor {
    const id = this.#tensors.length;
    const tensor: Tensor = { graph: this, id, name, shape, dtype, storage };
    this.#tensors.push(tensor);
    return tensor;
  }
}

/**
 * Throws if a tensor does not have the shape that an op expects.
 *
 * @throws {RangeError} if the shapes differ; the message names both
 */
export function expectShape(
  what: string,
  tensor: Tensor,
  expected: readonly number[],
): void {
  if (tensor.shape.join() !== expected.join()) {
    throw refusal(
      RangeError,
      `apply ${what}`,
      `${
        tensor.name || "an input"
      } has shape [${tensor.shape}], not [${expected}]`,
    );
  }
}
