/**
 * Measures whether a model knows the order of the tokens it has read. Attention is a weighted sum,
 * and a sum does not depend on the order of its terms:
 *
 * - without a mask and without positions no logit depends on the order of the other tokens;
 * - with a causal mask and one layer the last token's logits do not depend on it either;
 * - with a causal mask and two layers they do: the first layer's output at a token is a sum over
 *   the tokens before it, and in another order these are other tokens.
 *
 * Sums of floating point numbers do depend on the order of their terms, because they are rounded.
 * So the first two statements hold to the bit only for a model none of whose sums round; this file
 * makes one. For any other model they hold up to rounding.
 */

import type { Backend } from "../../backends/backend.ts";
import { makeGeneric, randomIds } from "../../checks/variants.ts";
import { modelConfig, type ModelOptions } from "../../config/model.ts";
import { Model } from "../../model/model.ts";
import { CounterRandom, Purpose } from "../../../kernels/random.ts";
import type { TensorData } from "../../formats/safetensors.ts";
import { permutation } from "./windows.ts";

/** Number of tokens in the sequences that are reordered. */
const T = 8;
/** Number of orders tried. */
const ORDERS = 24;

/** Sizes of the models. */
const sizes = {
  vocabSize: 6,
  blockSize: T,
  nHead: 2,
  nEmbd: 8,
  nHidden: 6,
  bias: false,
  headBias: false,
} as const satisfies ModelOptions;

/** The options that the cases vary. */
export type OrderCase = Pick<ModelOptions, "position" | "mask" | "nLayer">;

/** Largest change of the last token's logits when the tokens before it change places. */
export interface OrderChange {
  /** Absolute change. */
  readonly largest: number;
  /** Change as a share of the largest logit. */
  readonly share: number;
}

/**
 * Puts all tokens but the last in other orders and returns the largest change of the last token's
 * logits.
 *
 * @param tokens ids of one text
 */
export async function orderChange(
  model: Model,
  tokens: Int32Array,
  orders: number = ORDERS,
): Promise<OrderChange> {
  const { length } = tokens;
  const V = model.config.vocabSize;
  const last = async (ids: Int32Array) =>
    (await model.forward(ids, { B: 1, T: length })).slice(-V);
  const original = await last(tokens);
  const size = Math.max(...original.map(Math.abs));
  let largest = 0;
  for (let seed = 0; seed < orders; seed++) {
    const order = permutation(length - 1, { seed });
    const ids = Int32Array.from(tokens, (id, i) => tokens[order[i]!] ?? id);
    ids[length - 1] = tokens[length - 1]!;
    (await last(ids)).forEach((logit, i) => {
      largest = Math.max(largest, Math.abs(logit - original[i]!)); // NaN stays NaN
    });
  }
  return { largest, share: largest / size };
}

/** Measures the change of a small model with weights of order 1 and two heads with arbitrary attention. */
export async function genericChange(
  backend: Backend,
  change: OrderCase,
): Promise<OrderChange> {
  await using model = await Model.create({ ...sizes, ...change }, { backend });
  await makeGeneric(model);
  return await orderChange(model, randomIds(T, sizes));
}

/** Measures the change of the model of {@linkcode exactModel}. */
export async function exactChange(
  backend: Backend,
  change: OrderCase,
): Promise<OrderChange> {
  await using model = await exactModel(backend, change);
  return await orderChange(model, exactTokens);
}

/** Tokens for the exact model; four of them are even. */
export const exactTokens: Int32Array = Int32Array.of(3, 0, 1, 4, 5, 2, 1, 2);

/**
 * Makes a small model none of whose sums round, in float32 as in float64: weights are -1, 0 and 1,
 * two in a row. One head looks at all tokens alike, the other one at the even ones alike and
 * not at all at the odd ones (their scores are 2000 lower, and exp(-2000) is 0). Of 8
 * tokens 4 are even, so that both divide by a power of 2. After two layers all numbers are
 * multiples of 1/64 below 2000, where float32 has room for 2^24 of them below 262,144.
 */
export async function exactModel(
  backend: Backend,
  change: OrderCase,
): Promise<Model> {
  const config = modelConfig({
    ...sizes,
    norm: "none",
    mlp: "relu",
    ...change,
  });
  const model = await Model.create(config, { backend });
  model.setParameters(exactParameters(await model.parameters()));
  return model;
}

/** Cases that show which models know the order, each described in words. */
const cases: readonly (OrderCase & { readonly what: string })[] = [
  { what: "no mask, no positions, 1 layer", mask: "none", nLayer: 1 },
  { what: "no mask, no positions, 2 layers", mask: "none", nLayer: 2 },
  { what: "causal mask, no positions, 1 layer", mask: "causal", nLayer: 1 },
  { what: "causal mask, no positions, 2 layers", mask: "causal", nLayer: 2 },
  ...(["learned", "sinusoidal", "rope", "alibi"] as const).map((position) => ({
    what: `no mask, ${position}, 1 layer`,
    ...{ position, mask: "none", nLayer: 1 } as const,
  })),
];

/** The result of one case on one backend. */
export interface OrderResult {
  readonly what: string;
  /** The kind of backend. */
  readonly backend: string;
  /** The largest change of a logit of the model none of whose sums round: 0 is to the bit. */
  readonly exact: number;
  /** The largest change of a logit of a model with weights of order 1, as a share of the largest logit. */
  readonly generic: number;
}

/** Runs all cases on a backend. */
export async function orderResults(backend: Backend): Promise<OrderResult[]> {
  const results: OrderResult[] = [];
  for (const { what, ...change } of cases) {
    const { largest } = await exactChange(backend, change);
    const { share } = await genericChange(backend, change);
    results.push({
      what,
      backend: backend.kind,
      exact: largest,
      generic: share,
    });
  }
  return results;
}

/** The weight that makes odd tokens' scores 2000 lower: heads of 4 numbers halve it. */
const FAR = -4000;

function exactParameters(
  tensors: ReadonlyMap<string, TensorData>,
): Map<string, TensorData> {
  const random = new CounterRandom(1, Purpose.init);
  const C = sizes.nEmbd;
  const HS = C / sizes.nHead;
  const all = Array.from(tensors, ([name, { shape }], number) => {
    const [rows, columns] = shape as [number, number];
    const data = new Float64Array(rows * columns);
    const set = (row: number, column: number, value: number) =>
      data[row * columns + column] = value;
    // Two different columns of each row.
    const sparse = (row: number) => {
      const first = random.below(columns, number, 4 * row);
      const step = 1 + random.below(columns - 1, number, 4 * row + 1);
      set(row, first, 1 - 2 * random.below(2, number, 4 * row + 2));
      set(
        row,
        (first + step) % columns,
        1 - 2 * random.below(2, number, 4 * row + 3),
      );
    };
    for (let row = 0; row < rows; row++) {
      if (name === "wte.weight" || name === "wpe.weight") {
        // Channel 0 is 1 for all tokens, channel 1 for the odd ones.
        for (let c = 2; c < columns; c++) {
          set(row, c, random.below(3, number, row * columns + c) - 1);
        }
        if (name === "wpe.weight") continue;
        set(row, 0, 1);
        set(row, 1, row % 2);
      } else if (name.endsWith("c_attn.weight")) {
        if (row >= 2 * C) sparse(row);
        // The second head's query is channel 0, its key channel 1.
        if (row === HS) set(row, 0, 1);
        if (row === C + HS) set(row, 1, FAR);
      } else if (!name.endsWith("c_proj.weight") || row > 1) {
        // Blocks leave the first two channels alone.
        sparse(row);
      }
    }
    return [name, { dtype: "F64", shape, data }] as const;
  });
  return new Map(all as [string, TensorData][]);
}
