/** How parameters start: by GPT-2's rules or by those of PyTorch's layers. */

import type { ModelConfig } from "../config/model.ts";
import type { Init } from "../graph/tensor.ts";

/** The initial values of each kind of parameter. */
export interface InitialValues {
  /** Token and position embeddings. */
  readonly embedding: Init;
  /** A matrix that multiplies `nIn` numbers. */
  weight(nIn: number): Init;
  /** A matrix whose product is added to the residual stream. */
  projection(nIn: number): Init;
  /** A bias of a product of `nIn` numbers. */
  bias(nIn: number): Init;
}

/** The weight of a norm. */
export const ONE: Init = { kind: "constant", value: 1 };

/** The bias of a norm. */
export const ZERO: Init = { kind: "constant", value: 0 };

/** Returns the initial values that a configuration asks for. */
export function initialValues({ init, nLayer }: ModelConfig): InitialValues {
  if (init === "gpt2") {
    const normal = (sd: number): Init => ({ kind: "normal", sd });
    return {
      embedding: normal(0.02),
      weight: () => normal(0.02),
      // Each layer adds twice to the residual stream; GPT-2 keeps the sum's variance (its paper, section 2.3).
      projection: () => normal(0.02 / Math.sqrt(2 * nLayer)),
      bias: () => ZERO,
    };
  }
  // The defaults of nn.Embedding and nn.Linear.
  const uniform = (nIn: number): Init => ({
    kind: "uniform",
    bound: 1 / Math.sqrt(nIn),
  });
  return {
    embedding: { kind: "normal", sd: 1 },
    weight: uniform,
    projection: uniform,
    bias: uniform,
  };
}
