/** Check of a recorded loss against the weights. */

import type { EvalBatch } from "../text/dataset.ts";
import type { Model } from "../model/model.ts";
import type { Finding } from "./verdict.ts";

/** Largest difference of losses on two devices, in nats per token: see docs/check.md. */
const LOSS_TOLERANCE = 1e-3;

/** Measures a validation loss and compares it with the recorded one. */
export async function compareLoss(
  recorded: number,
  { model, batches, signal }: {
    readonly model: Model;
    /** Batches of the whole validation split. */
    readonly batches: Iterable<EvalBatch>;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Finding> {
  const loss = await model.evaluate(batches, { signal });
  const found = `validation loss ${loss.toFixed(4)}, recorded as ${
    recorded.toFixed(4)
  }`;
  const numbers = { loss, recorded };
  return Math.abs(loss - recorded) <= LOSS_TOLERANCE
    ? { status: "ok", found, numbers }
    : {
      status: "failed",
      found,
      hint:
        "the weights, the text and the recorded loss are not of the same run",
      numbers,
    };
}
