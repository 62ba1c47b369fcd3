/** The token batches of a training recording. */

import { NotUnderstoodError } from "./not_understood.ts";
import type { Ids, Recording } from "./recording.ts";
import type { Report } from "./comparison.ts";

/** Token ids and their targets, several batches of one shape. */
export interface Batches {
  readonly B: number;
  readonly T: number;
  readonly count: number;
  /** Inputs of a batch, (B, T). */
  tokens(batch: number): Int32Array;
  /** Targets of a batch, (B, T). */
  targets(batch: number): Int32Array;
}

/**
 * Reads `batch.*` or, where there is only one batch, `tokens` and `targets`;
 * undefined if there are neither. Where both are there they must agree.
 */
export function readBatches(
  recording: Recording,
  report: Report,
  vocabSize: number,
): Batches | undefined {
  const read = (name: "tokens" | "targets") =>
    readIds(recording, report, { name, vocabSize });
  const tokens = read("tokens");
  if (tokens === undefined) return undefined;
  const [count, B, T] = tokens.shape as [number, number, number];
  const targets = read("targets");
  if (targets !== undefined && targets.shape.join() !== tokens.shape.join()) {
    throw new NotUnderstoodError(
      `targets have shape [${targets.shape}], tokens [${tokens.shape}]`,
    );
  }
  const batch = ({ data }: Ids, number: number) =>
    data.slice(number * B * T, (number + 1) * B * T);
  return {
    B,
    T,
    count,
    tokens: (number) => batch(tokens, number),
    targets: (number) => {
      if (targets === undefined) {
        throw new NotUnderstoodError("tensor targets is missing");
      }
      return batch(targets, number);
    },
  };
}

/** All batches of `tokens` or `targets`: (batches, B, T). */
function readIds(
  recording: Recording,
  report: Report,
  { name, vocabSize }: { name: "tokens" | "targets"; vocabSize: number },
): Ids | undefined {
  const first = recording.has(name)
    ? recording.ids(name, 2, vocabSize)
    : undefined;
  const all = recording.has(`batch.${name}`)
    ? recording.ids(`batch.${name}`, 3, vocabSize)
    : undefined;
  if (first === undefined || all === undefined) {
    return all ?? (first && { shape: [1, ...first.shape], data: first.data });
  }
  if (all.shape.slice(1).join() !== first.shape.join() || all.shape[0] === 0) {
    throw new NotUnderstoodError(
      `tensor batch.${name} has shape [${all.shape}], ${name} [${first.shape}]`,
    );
  }
  report.compare(`batch.${name}[0] = ${name}`, [{
    name,
    recorded: first.data,
    computed: all.data.subarray(0, first.data.length),
  }], { measure: "count", limit: 0 });
  return all;
}
