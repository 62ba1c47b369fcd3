/** Token embedding, with an optional table of positions added. */

import type { KernelDims } from "../../../kernels/vocabulary.ts";
import { expectShape, type Op, type Tensor } from "../tensor.ts";

const embeddingOp: Op<KernelDims["embedding"]> = {
  name: "embedding",
  forward({ inputs, outputs, attrs }, emit) {
    emit({ kernel: "embedding", outputs, inputs, dims: attrs });
  },
  backward({ inputs, outputs, attrs: { B, T, C, V, L } }, gradients, emit) {
    const [tokens, weight, table] = inputs as [Tensor, Tensor, Tensor?];
    const dx = gradients.of(outputs[0]!);
    emit({
      kernel: "embeddingBackward",
      outputs: [gradients.into(weight).gradient],
      inputs: [dx, tokens],
      dims: { rows: B * T, C, V },
    });
    if (table !== undefined && gradients.needs(table)) {
      emit({
        kernel: "positionBackward",
        outputs: [gradients.into(table).gradient],
        inputs: [dx],
        dims: { B, T, C, L },
      });
    }
  },
};

/**
 * Computes x[b,t] = weight[tokens[b,t]] (+ table[start[b] + t]).
 *
 * @param tokens (B, T), i32
 * @param weight (V, C)
 * @param options.table (L, C), a parameter or a constant
 * @param options.start (B), i32: the position of each row's first token; 0 by default
 * @returns (B, T, C)
 */
export function embedding(
  tokens: Tensor,
  weight: Tensor,
  { table, start }: {
    table?: Tensor | undefined;
    start?: Tensor | undefined;
  } = {},
): Tensor {
  const [B, T] = tokens.shape as [number, number];
  const [V, C] = weight.shape as [number, number];
  const L = table?.shape[0] ?? 0;
  if (table !== undefined) expectShape("embedding", table, [L, C]);
  const positions = table !== undefined;
  const inputs = [tokens, weight];
  if (positions) {
    inputs.push(table);
    if (start !== undefined) inputs.push(start);
  }
  return tokens.graph.apply(embeddingOp, {
    inputs,
    outputs: [[B, T, C]],
    attrs: { B, T, C, V, L, positions, start: inputs.length === 4 },
  })[0]!;
}
