/**
 * The pass that computes the loss of a large vocabulary a chunk of rows at a time. All
 * logits and their gradient, (rows, V) each, would take most of a training's memory; the
 * logits of a chunk are overwritten by those of the next. The network and the ops know
 * nothing of chunks.
 */

import type { LabelledDispatch } from "./autodiff.ts";
import { ALIGNMENT } from "./layout.ts";
import { sizeOf, type Tensor, type TensorDispatch } from "./tensor.ts";

/** Most logits that a plan holds at once: 64 MiB of them. */
export const MOST_LOGITS: number = 2 ** 24;

/** Fewest logits of a chunk, unless fewer are allowed: 16 MiB of them. Smaller chunks would spend their time on launches. */
const CHUNK_LOGITS = 2 ** 22;

/**
 * Splits the computation of a loss with more than `most` logits into chunks of rows. A weight's gradient is the sum of
 * the chunks' in order, so the bits do not depend on timing.
 *
 * @param dispatches of one phase
 * @param options.outputs tensors that must stay whole; if logits are among them, nothing is split
 */
export function inChunks(
  dispatches: readonly LabelledDispatch[],
  { most = MOST_LOGITS, outputs = [] }: {
    readonly most?: number | undefined;
    readonly outputs?: readonly Tensor[];
  } = {},
): readonly LabelledDispatch[] {
  const loss = dispatches.find((dispatch) =>
    dispatch.kernel === "crossEntropy" &&
    dispatch.dims.rows * dispatch.dims.V > most
  );
  if (loss?.kernel !== "crossEntropy") return dispatches;
  const { rows, V } = loss.dims;
  const long = longTensors(dispatches, loss.inputs[0]!);
  if (outputs.some((output) => long.has(output))) return dispatches;
  const isLong = (dispatch: LabelledDispatch) =>
    operandsOf(dispatch).some((tensor) => long.has(tensor));
  const first = dispatches.findIndex(isLong);
  const members = dispatches.filter(isLong);
  const others = dispatches.slice(first).filter((other) => !isLong(other));
  checkOrder(members, others);
  const perChunk = rowsOfChunk(members, most / V, CHUNK_LOGITS / V);
  const chunks = Array.from(
    { length: Math.ceil(rows / perChunk) },
    (_, i) => {
      const from = i * perChunk;
      const count = Math.min(perChunk, rows - from);
      return chunkOf(members, long, { from, count, rows });
    },
  );
  return [...dispatches.slice(0, first), ...chunks.flat(), ...others];
}

/**
 * Returns the rows of a chunk, at most `most` if that is 64 or more: as many as the columns of the head's weight, so
 * that a chunk takes about as much memory as the weight, and reading the weight does not dominate; or `small` if that
 * is more. Chunks begin at
 * multiples of 64 elements of every tensor, as bindings must.
 */
function rowsOfChunk(
  members: readonly LabelledDispatch[],
  most: number,
  small: number,
): number {
  const head = members.find(({ kernel }) => kernel === "matmul")!;
  const width = head.kernel === "matmul" ? head.dims.K : 1;
  const rows = Math.min(Math.max(width, small), most);
  return ALIGNMENT * Math.max(1, Math.floor(rows / ALIGNMENT));
}

/** Returns the tensors with a number for each logit: the logits, before and after their cap, and the gradients of both. */
function longTensors(
  dispatches: readonly LabelledDispatch[],
  logits: Tensor,
): ReadonlySet<Tensor> {
  const length = sizeOf(logits.shape);
  const long = new Set([logits]);
  for (let before = 0; before < long.size;) {
    before = long.size;
    for (const dispatch of dispatches) {
      const operands = operandsOf(dispatch);
      if (!operands.some((tensor) => long.has(tensor))) continue;
      for (const tensor of operands) {
        const isOwn = tensor.storage.kind === "slot";
        if (isOwn && sizeOf(tensor.shape) === length) long.add(tensor);
      }
    }
  }
  return long;
}

/** Returns the outputs and inputs of a dispatch. */
function operandsOf({ outputs, inputs }: LabelledDispatch): Tensor[] {
  return [...outputs, ...inputs];
}

/** Throws if a dispatch that will run after all chunks computes what one of them reads. */
function checkOrder(
  members: readonly LabelledDispatch[],
  others: readonly LabelledDispatch[],
): void {
  const read = new Set(members.flatMap(({ inputs }) => inputs));
  for (const { kernel, outputs } of others) {
    if (outputs.some((output) => read.has(output))) {
      throw new Error(
        `Cannot split the loss: its chunks read what ${kernel} writes`,
      );
    }
  }
}

/** Rows of a chunk. */
interface Chunk {
  readonly from: number;
  readonly count: number;
  /** Rows of all chunks. */
  readonly rows: number;
}

/** Returns the dispatches of one chunk, whose own logits are new tensors. */
function chunkOf(
  dispatches: readonly LabelledDispatch[],
  long: ReadonlySet<Tensor>,
  { from, count, rows }: Chunk,
): LabelledDispatch[] {
  const own = new Map<Tensor, Tensor>();
  const partOf = (tensor: Tensor): Tensor => {
    const { graph, shape } = tensor;
    const width = sizeOf(shape) / rows;
    if (!long.has(tensor)) {
      return graph.part(tensor, {
        offset: from * width,
        shape: [count, width],
      });
    }
    const known = own.get(tensor) ?? graph.activation([count, width]);
    own.set(tensor, known);
    return known;
  };
  return dispatches.map((dispatch) => {
    const { dims, whole } = split(dispatch, { count, rows });
    const part = (tensor: Tensor) =>
      whole.includes(tensor) ? tensor : partOf(tensor);
    return {
      ...dispatch,
      dims,
      outputs: dispatch.outputs.map(part),
      inputs: dispatch.inputs.map(part),
    } as LabelledDispatch;
  });
}

/**
 * Returns the dims of a dispatch on some of its rows, and its operands without rows.
 *
 * @throws {Error} if the kernel does not compute row by row, or does not add its sums over rows to what is there
 */
function split(
  { kernel, dims, outputs, inputs }: TensorDispatch,
  { count, rows }: Pick<Chunk, "count" | "rows">,
): { dims: TensorDispatch["dims"]; whole: readonly Tensor[] } {
  switch (kernel) {
    case "matmul":
      if (dims.form !== "tn") {
        const bias = dims.bias ? [inputs[2]!] : [];
        return { dims: { ...dims, M: count }, whole: [inputs[1]!, ...bias] };
      }
      if (!dims.accumulate) break;
      return { dims: { ...dims, K: count }, whole: outputs };
    case "crossEntropy":
      return { dims: { ...dims, rows: count }, whole: [] };
    case "softcap":
    case "softcapBackward":
      return { dims: { ...dims, n: dims.n / rows * count }, whole: [] };
  }
  throw new Error(`Cannot split the loss: ${kernel} is not by rows`);
}
