/**
 * The graph under construction: tensors (names for arrays, no data), nodes (ops
 * applied to tensors), and the contract every op fulfils. Shapes are static.
 *
 * The ops themselves stand in `ops/`, derivatives are put together in
 * `autodiff.ts`, memory is planned in `compile.ts`.
 */

import type { KernelDims, KernelName } from "../../kernels/vocabulary.ts";
import type { DType } from "./plan.ts";

/** How a parameter starts: a normal or uniform draw, or a constant. */
export type Init =
  | { readonly kind: "normal"; readonly sd: number }
  | { readonly kind: "uniform"; readonly bound: number }
  | { readonly kind: "constant"; readonly value: number };

/** Where a tensor's numbers live. See `BufferKind` in `plan.ts`. */
export type Home =
  | { readonly kind: "slot" }
  | { readonly kind: "input" }
  | { readonly kind: "store" }
  | { readonly kind: "parameter"; readonly init: Init }
  | { readonly kind: "gradient"; readonly of: Tensor }
  | {
    readonly kind: "stretch";
    readonly store: string;
    readonly offset: number;
  };

/** A name for an array of a fixed shape. */
export interface Tensor {
  readonly graph: Graph;
  /** Position in {@linkcode Graph.tensors}. */
  readonly id: number;
  /** For parameters, GPT-2's name; unique among parameters, inputs and stores. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly home: Home;
}

/** One op applied: plain data, so that a graph can be printed. */
export interface Node<Attrs = unknown> {
  readonly op: Op<Attrs>;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attrs: Attrs;
  /** The part of the model that was being described. */
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

/** Takes the dispatches that an op makes, in order. */
export type Emit = (dispatch: TensorDispatch) => void;

/** An op: what it computes, and what its derivative is, in kernels. */
export interface Op<Attrs = unknown> {
  readonly name: string;
  forward(node: Node<Attrs>, emit: Emit): void;
  /** Absent where nothing upstream needs a gradient. */
  backward?(node: Node<Attrs>, gradients: Gradients, emit: Emit): void;
}

/**
 * Gradients during a backward pass; what an op's derivative rule may ask for.
 *
 * The contract: parameter gradients accumulate. An activation gradient is stored by
 * its first writer and added to by later ones; `into` says which the caller is.
 */
export interface Gradients {
  /** The complete gradient of a node's output. */
  of(output: Tensor): Tensor;
  /** Whether anything depends on this input's gradient. */
  needs(input: Tensor): boolean;
  /** Where to put a contribution, for kernels that can both store and accumulate. */
  into(input: Tensor): { gradient: Tensor; accumulate: boolean };
  /** Where to put a contribution, for kernels that only store. It is added to earlier ones. */
  fresh(input: Tensor): Tensor;
  /** Contributes a gradient that exists already, without copying it. */
  share(input: Tensor, gradient: Tensor): void;
}

/** Elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** A description of one computation. */
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
    return this.#tensors.filter((tensor) => tensor.home.kind === "parameter");
  }

  /** A trainable tensor. Asking twice for one name gives the same tensor: that is how a head is tied. */
  parameter(name: string, shape: readonly number[], init: Init): Tensor {
    return this.#once(name, shape, "f32", { kind: "parameter", init });
  }

  /** A tensor that the host writes before a run. */
  input(name: string, shape: readonly number[], dtype: DType): Tensor {
    return this.#once(name, shape, dtype, { kind: "input" });
  }

  /** A tensor that outlives the plan, shared by name with other plans. */
  store(name: string, shape: readonly number[]): Tensor {
    return this.#once(name, shape, "f32", { kind: "store" });
  }

  /** A stretch of a store that holds one number per parameter, where the layout puts it. */
  stretch(
    store: string,
    { offset, length }: { readonly offset: number; readonly length: number },
  ): Tensor {
    const home = { kind: "stretch", store, offset } as const;
    const name = `${store}+${offset}[${length}]`;
    return this.#once(name, [length], "f32", home);
  }

  /** A tensor computed by a dispatch. */
  activation(shape: readonly number[]): Tensor {
    return this.#create("", shape, "f32", { kind: "slot" });
  }

  /** The gradient of a parameter. */
  gradient(of: Tensor): Tensor {
    return this.#once(`d ${of.name}`, of.shape, "f32", {
      kind: "gradient",
      of,
    });
  }

  /** Adds a node and gives its outputs. */
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

  /** Where in the model the description is, e.g. `h.0.attn`. Parameters take their names from it. */
  get path(): string {
    return this.#path;
  }

  /** Describes a part of the model: `path` is one name longer meanwhile. */
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
    home: Home,
  ): Tensor {
    const known = this.#named.get(name);
    if (known === undefined) {
      const tensor = this.#create(name, shape, dtype, home);
      this.#named.set(name, tensor);
      return tensor;
    }
    if (
      known.home.kind !== home.kind || known.dtype !== dtype ||
      known.shape.join() !== shape.join()
    ) {
      throw new RangeError(
        `Cannot declare ${name} as ${home.kind} [${shape}]: it is ${known.home.kind} [${known.shape}] already`,
      );
    }
    return known;
  }

  #create(
    name: string,
    shape: readonly number[],
    dtype: DType,
    home: Home,
  ): Tensor {
    const id = this.#tensors.length;
    const tensor: Tensor = { graph: this, id, name, shape, dtype, home };
    this.#tensors.push(tensor);
    return tensor;
  }
}

/**
 * Refuses a shape that an op cannot take.
 *
 * @throws {RangeError} with both shapes
 */
export function expectShape(
  what: string,
  tensor: Tensor,
  expected: readonly number[],
): void {
  if (tensor.shape.join() !== expected.join()) {
    throw new RangeError(
      `Cannot apply ${what}: ${
        tensor.name || "an input"
      } has shape [${tensor.shape}], not [${expected}]`,
    );
  }
}
