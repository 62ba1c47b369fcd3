/**
 * Groups of a batch's texts. Texts do not depend on one another while they are generated, and in training only sums combine them: the
 * loss and the gradients of parameters. So a thread can take a group through many dispatches without waiting for other threads
 * after each.
 */

import {
  type KernelDims,
  type KernelName,
  operandShapes,
} from "../../../kernels/vocabulary.ts";
import type { BufferSpec, Dispatch, Operand, Plan } from "../../graph/plan.ts";

/** The dim of each kernel that grows with the number of texts; for a matmul `tn` it is K. Kernels that are absent combine texts. */
const textDims: { readonly [Name in KernelName]?: keyof KernelDims[Name] } = {
  embedding: "B",
  embeddingBackward: "rows",
  positionBackward: "B",
  matmul: "M",
  norm: "rows",
  normBackward: "rows",
  swiglu: "n",
  swigluBackward: "n",
  qkNorm: "rows",
  qkNormBackward: "rows",
  rope: "B",
  attention: "B",
  attentionBackward: "B",
  cacheAppend: "B",
  attentionCached: "B",
  selectLast: "B",
  add: "n",
  copy: "n",
  softcap: "n",
  softcapBackward: "n",
  crossEntropy: "rows",
  lossSum: "rows",
};

/** Texts of a group in generation: as many as the weights that are read for them are worth. */
const TEXTS = 8;

/** The most numbers that all texts share in generation: each group reads the weights again, which should stay in the processor's caches. */
const MOST_SHARED = 2 ** 22;

/** The most groups in training, each of which has sums of its own: enough for 8 threads. */
const MOST_GROUPS = 8;

/** The most numbers that all texts share in training, where each group adds to the gradients, too. Threads that wait cost a larger model little. */
const MOST_TRAINED = 2 ** 20;

/** A dispatch, the dim of it that grows with the texts, and the lengths of its operands for one text and for all. */
interface Split {
  readonly dispatch: Dispatch;
  readonly name: string;
  readonly size: number;
  readonly operands: readonly {
    readonly operand: Operand;
    /** Numbers of one text; undefined if the texts share the operand. */
    readonly each: number | undefined;
  }[];
}

/** The groups of a segment. */
export interface Groups {
  /** The dispatches of each group, in the order of the plan. */
  readonly parts: readonly (readonly Dispatch[])[];
  /** The stores to which all groups add, by index into {@linkcode Plan.buffers}. */
  readonly sums: ReadonlySet<number>;
}

/**
 * Divides the dispatches [from, to) of a plan among groups of texts. The operands of a group are those parts of the plan's operands
 * that belong to the group. Groups depend on the plan alone.
 *
 * The parts of slots do not overlap: those of a group begin at the same fraction of each slot.
 *
 * @returns undefined if the dispatches are not those of several texts, or combine texts in other ways than by sums
 */
export function groupsOf(
  { dispatches, buffers }: Pick<Plan, "dispatches" | "buffers">,
  { from, to }: { readonly from: number; readonly to: number },
): Groups | undefined {
  const first = dispatches[from];
  if (first?.kernel !== "embedding") return undefined;
  const { B } = first.dims;
  const isSlot = ({ buffer }: Operand) => buffers[buffer]!.kind === "slot";
  if (B < 2 || !isClosed(dispatches.slice(to), isSlot)) return undefined;
  const splits: Split[] = [];
  for (const dispatch of dispatches.slice(from, to)) {
    const split = splitOf(dispatch, B, buffers);
    if (split === undefined) return undefined;
    splits.push(split);
  }
  const shared = splits.flatMap(({ operands }) => operands)
    .filter(({ each }) => each === undefined)
    .reduce((sum, { operand: { length } }) => sum + length, 0);
  const sums = new Set(
    splits.flatMap(({ dispatch: { outputs }, operands }) =>
      outputs.filter((_, i) => operands[i]!.each === undefined)
        .map(({ buffer }) => buffer)
    ),
  );
  if (shared > (sums.size > 0 ? MOST_TRAINED : MOST_SHARED)) return undefined;
  const count = sums.size > 0
    ? Math.min(B, MOST_GROUPS)
    : Math.max(2, Math.ceil(B / TEXTS));
  const at = (group: number) => Math.floor(B * group / count);
  const parts = Array.from({ length: count }, (_, group) => {
    const texts = { B, from: at(group), to: at(group + 1) };
    return splits.map((split) => part(split, texts, buffers));
  });
  return { parts, sums };
}

/** Returns true if dispatches read no slot before they write to it. */
function isClosed(
  dispatches: readonly Dispatch[],
  isSlot: (operand: Operand) => boolean,
): boolean {
  const written = new Set<number>();
  return dispatches.every(({ inputs, outputs }) => {
    const known = inputs.every((input) =>
      !isSlot(input) || written.has(input.buffer)
    );
    for (const { buffer } of outputs) written.add(buffer);
    return known;
  });
}

/** Returns how a dispatch of B texts splits; undefined if it combines texts, or a slot has no part for each. */
function splitOf(
  dispatch: Dispatch,
  B: number,
  buffers: readonly BufferSpec[],
): Split | undefined {
  const { kernel, dims } = dispatch;
  const isWeightGradient = kernel === "matmul" && dims.form === "tn";
  const name = isWeightGradient ? "K" : textDims[kernel] as string | undefined;
  if (name === undefined || "count" in dims && dims.count > 1) return undefined;
  // Sums over texts, of which each group can only add its own.
  const isSum = isWeightGradient || kernel === "lossSum";
  if (isSum && !dims.accumulate) return undefined;
  // Random bits follow from an element's place in the batch.
  if ("dropout" in dims && dims.dropout > 0) return undefined;
  const size = (dims as unknown as Record<string, number>)[name]!;
  const shapes = operandShapes(
    kernel,
    { ...dims, [name]: size / B } as never,
  );
  const lengths = [...shapes.outputs, ...shapes.inputs];
  const operands = [...dispatch.outputs, ...dispatch.inputs]
    .map((operand, i) => {
      const { length } = lengths[i]!;
      const isShared = length === operand.length;
      return { operand, each: isShared ? undefined : length };
    });
  const isSplit = size % B === 0 &&
    operands.every(({ operand: { buffer, offset } }) => {
      const { kind, length } = buffers[buffer]!;
      return kind !== "slot" || (offset === 0 && length % B === 0);
    });
  return isSplit ? { dispatch, name, size, operands } : undefined;
}

/** Returns a dispatch for the texts [from, to) of B. */
function part(
  { dispatch, name, size, operands }: Split,
  { B, from, to }: {
    readonly B: number;
    readonly from: number;
    readonly to: number;
  },
  buffers: readonly BufferSpec[],
): Dispatch {
  const parts = operands.map(({ operand, each }): Operand => {
    if (each === undefined) return operand;
    const { buffer, offset } = operand;
    const { kind, length } = buffers[buffer]!;
    const stride = kind === "slot" ? length / B : each;
    return {
      buffer,
      offset: offset + from * stride,
      length: (to - from) * each,
    };
  });
  const outputs = dispatch.outputs.length;
  return {
    ...dispatch,
    dims: { ...dispatch.dims, [name]: size / B * (to - from) },
    outputs: parts.slice(0, outputs),
    inputs: parts.slice(outputs),
  } as Dispatch;
}
