/** Initial values of parameters: GPT-2's rules, or the defaults of PyTorch's layers. */

import type { ModelConfig } from "../config/model.ts";
import type { Init } from "../graph/tensor.ts";

/** Initial values of each kind of parameter. */
export interface InitialValues {
  /** Token and position embeddings. */
  readonly embedding: Init;
  /** Returns the initial values of a matrix with `nIn` inputs. */
  weight(nIn: number): Init;
  /** Returns the initial values of a matrix whose product is added to the residual stream. */
  projection(nIn: number): Init;
  /** Returns the initial values of the bias of a linear map with `nIn` inputs. */
  bias(nIn: number): Init;
}

/** Initial value of the weight of a norm. */
export const ONE: Init = { kind: "constant", value: 1 };

/** Initial value of the bias of a norm. */
export const ZERO: Init = { kind: "constant", value: 0 };

/** Returns the initial values for a configuration. */
export function initialValues({ init, nLayer }: ModelConfig): InitialValues {
  if (init === "gpt2") {
    const normal = (sd: number): Init => ({ kind: "normal", sd });
    return {
      embedding: normal(0.02),
      weight: () => normal(0.02),
      // Each layer adds to the residual stream twice; this scale keeps the variance of the sum (GPT-2 paper, section 2.3).
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
