/**
 * Groups of a batch's texts. Texts do not depend on one another while they are generated, so a thread can take a group
 * through a whole plan without waiting for other threads after each dispatch.
 */

import {
  type KernelDims,
  type KernelName,
  operandShapes,
} from "../../../kernels/vocabulary.ts";
import type { BufferSpec, Dispatch, Operand, Plan } from "../../graph/plan.ts";

/** The dim of each kernel that grows with the number of texts. Kernels that are absent combine texts, or training alone uses them. */
const textDims: { readonly [Name in KernelName]?: keyof KernelDims[Name] } = {
  embedding: "B",
  matmul: "M",
  norm: "rows",
  swiglu: "n",
  qkNorm: "rows",
  rope: "B",
  cacheAppend: "B",
  attentionCached: "B",
  selectLast: "B",
  add: "n",
  copy: "n",
  softcap: "n",
};

/** Texts of a group: as many as the weights that are read for them are worth. */
const TEXTS = 8;

/** The most numbers that all texts share: each group reads the weights again, which should stay in the processor's caches. */
const MOST_SHARED = 2 ** 22;

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

const known = new WeakMap<Plan, readonly Plan[] | undefined>();

/**
 * Returns a plan for each group of texts, whose operands are those parts of the plan's operands that belong to the group;
 * undefined if the plan is not the generation of several texts. Groups depend on the plan alone.
 *
 * The parts of slots do not overlap: those of a group begin at the same fraction of each slot.
 */
export function groupsOf(plan: Plan): readonly Plan[] | undefined {
  if (!known.has(plan)) known.set(plan, group(plan));
  return known.get(plan);
}

function group(plan: Plan): readonly Plan[] | undefined {
  const { dispatches, buffers } = plan;
  const first = dispatches[0];
  if (first?.kernel !== "embedding" || !isWhole(plan)) return undefined;
  const { B } = first.dims;
  if (B < 2) return undefined;
  const splits: Split[] = [];
  for (const dispatch of dispatches) {
    const split = splitOf(dispatch, B, buffers);
    if (split === undefined) return undefined;
    splits.push(split);
  }
  const shared = splits.flatMap(({ operands }) => operands)
    .filter(({ each }) => each === undefined)
    .reduce((sum, { operand: { length } }) => sum + length, 0);
  if (shared > MOST_SHARED) return undefined;
  const count = Math.max(2, Math.ceil(B / TEXTS));
  const at = (group: number) => Math.floor(B * group / count);
  return Array.from({ length: count }, (_, group) => {
    const texts = { B, from: at(group), to: at(group + 1) };
    return {
      ...plan,
      dispatches: splits.map((split) => part(split, texts, buffers)),
    };
  });
}

/** Returns true if no phase is a part of the plan. */
function isWhole({ dispatches, phases }: Plan): boolean {
  return Object.values(phases).every(([from, to]) =>
    from === 0 && to === dispatches.length
  );
}

/** Returns how a dispatch of B texts splits; undefined if it combines texts, or a slot has no part for each. */
function splitOf(
  dispatch: Dispatch,
  B: number,
  buffers: readonly BufferSpec[],
): Split | undefined {
  const { kernel, dims } = dispatch;
  const name = textDims[kernel] as string | undefined;
  if (name === undefined) return undefined;
  if (kernel === "matmul" && (dims.form === "tn" || dims.count > 1)) {
    return undefined;
  }
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
