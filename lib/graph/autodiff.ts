/**
 * Reverse-mode differentiation: visits the nodes backwards and lets the derivative
 * rule of each op emit its dispatches. The first contribution to a gradient is
 * stored and later ones are added. A gradient is copied only where sharing its
 * array would corrupt another tensor's gradient.
 */

import {
  type Emit,
  type Gradients,
  type Graph,
  sizeOf,
  type Tensor,
  type TensorDispatch,
} from "./tensor.ts";

/** A dispatch, labelled with its part of the model. */
export type LabelledDispatch = TensorDispatch & { readonly label: string };

/** Returns the dispatches of a graph's nodes, in order. */
export function forward(graph: Graph): LabelledDispatch[] {
  const dispatches: LabelledDispatch[] = [];
  for (const node of graph.nodes) {
    node.op.forward(
      node,
      (dispatch) => dispatches.push({ ...dispatch, label: node.label }),
    );
  }
  return dispatches;
}

/**
 * Returns the dispatches that add the gradients of all losses in a graph to the gradients of its parameters.
 *
 * Losses are nodes that compute their own gradient (cross-entropy). Every other node receives its gradient
 * from the nodes that read its output.
 */
export function backward(graph: Graph): LabelledDispatch[] {
  return new BackwardPass(graph).run();
}

class BackwardPass implements Gradients {
  readonly #graph: Graph;
  readonly #dispatches: LabelledDispatch[] = [];
  /** Gradient of each tensor so far; several tensors may share one gradient. */
  readonly #gradients = new Map<Tensor, Tensor>();
  /** Index of the node that computes each activation. */
  readonly #producer = new Map<Tensor, number>();
  readonly #needed = new Set<Tensor>();
  /** Contributions of the current node that must be added to earlier contributions. */
  #pending: { input: Tensor; contribution: Tensor }[] = [];
  #position = 0;
  #emit: Emit = () => {};

  constructor(graph: Graph) {
    this.#graph = graph;
    graph.nodes.forEach(({ inputs, outputs }, number) => {
      for (const output of outputs) this.#producer.set(output, number);
      if (inputs.some((input) => this.needs(input))) {
        for (const output of outputs) this.#needed.add(output);
      }
    });
  }

  run(): LabelledDispatch[] {
    const { nodes } = this.#graph;
    for (let number = nodes.length - 1; number >= 0; number--) {
      const node = nodes[number]!;
      if (node.op.backward === undefined) continue;
      if (!node.inputs.some((input) => this.needs(input))) continue;
      this.#position = number;
      this.#emit = (dispatch) =>
        this.#dispatches.push({ ...dispatch, label: node.label });
      node.op.backward(node, this, this.#emit);
      for (const { input, contribution } of this.#pending) {
        this.#sum(input, contribution);
      }
      this.#pending = [];
    }
    return this.#dispatches;
  }

  of(output: Tensor): Tensor {
    const gradient = this.#gradients.get(output);
    if (gradient === undefined) {
      throw new Error(
        `Cannot differentiate ${
          output.name || `tensor ${output.id}`
        }: nothing that reads it has a gradient`,
      );
    }
    return gradient;
  }

  needs(input: Tensor): boolean {
    return input.storage.kind === "parameter" || this.#needed.has(input);
  }

  into(input: Tensor): { gradient: Tensor; accumulate: boolean } {
    if (input.storage.kind === "parameter") {
      return { gradient: this.#graph.gradient(input), accumulate: true };
    }
    const known = this.#gradients.get(input);
    if (known === undefined) {
      const gradient = this.#graph.activation(input.shape);
      this.#gradients.set(input, gradient);
      return { gradient, accumulate: false };
    }
    if (!this.#isStillRead(known, input)) {
      return { gradient: known, accumulate: true };
    }
    // The derivative rule of another tensor has yet to read this array, so it must not change.
    const gradient = this.#graph.activation(input.shape);
    const n = sizeOf(input.shape);
    this.#emit({
      kernel: "copy",
      outputs: [gradient],
      inputs: [known],
      dims: { n },
    });
    this.#gradients.set(input, gradient);
    return { gradient, accumulate: true };
  }

  fresh(input: Tensor): Tensor {
    const contribution = this.#graph.activation(input.shape);
    this.#pending.push({ input, contribution });
    return contribution;
  }

  share(input: Tensor, gradient: Tensor): void {
    this.#sum(input, gradient);
  }

  #sum(input: Tensor, contribution: Tensor): void {
    if (input.storage.kind === "parameter") {
      throw new Error(
        `Cannot add to the gradient of ${input.name}: its op must accumulate`,
      );
    }
    const known = this.#gradients.get(input);
    if (known === undefined) {
      this.#gradients.set(input, contribution);
      return;
    }
    const sum = this.#graph.activation(input.shape);
    this.#emit({
      kernel: "add",
      outputs: [sum],
      inputs: [known, contribution],
      dims: { n: sizeOf(input.shape) },
    });
    this.#gradients.set(input, sum);
  }

  /** Returns whether a node still to be visited will read `gradient` as the gradient of a tensor other than `owner`. */
  #isStillRead(gradient: Tensor, owner: Tensor): boolean {
    for (const [tensor, known] of this.#gradients) {
      if (known !== gradient || tensor === owner) continue;
      if (this.#producer.get(tensor)! <= this.#position) return true;
    }
    return false;
  }
}
