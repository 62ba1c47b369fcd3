/**
 * Checks of the mask bug: one network with the right mask and with the seed's
 * faulty one, and how much each lets later tokens change earlier logits.
 */

import type { Model } from "../../lib/model/model.ts";
import type { Batches } from "./batches.ts";
import { NotUnderstoodError } from "./not_understood.ts";
import type { Subject } from "./subject.ts";
import { checkTraining, type Variant } from "./training.ts";

/** The bug as the recording words it: our `mask: "zeroed"`. */
const ZEROED =
  "softmax((q @ k^T) * mask / sqrt(head_dim)) @ v, mask 1 at or below the diagonal, 0 above";

const variants: readonly Variant[] = [
  { prefix: "correct.", change: { mask: "causal" } },
  { prefix: "bug.", change: { mask: "zeroed" } },
];

/** Checks all that is recorded of the two masks. */
export async function checkMasks(
  subject: Subject,
  batches: Batches,
): Promise<void> {
  subject.recording.expectText("bug", ZEROED);
  for (const variant of variants) {
    await checkTraining(subject, batches, variant);
    await checkLeak(subject, batches, variant);
  }
}

/** `leak` [j, t] is the largest change of a logit at position t when token j becomes another. */
async function checkLeak(
  subject: Subject,
  batches: Batches,
  { prefix, change }: Variant,
): Promise<void> {
  const { recording, report, tolerances } = subject;
  const quantity = `${prefix}leak`;
  const shift = readReplacement(subject);
  if (!recording.records(quantity)) return;
  const { T } = batches;
  await using model = await subject.model(change);
  const leak = await measureLeak(model, batches, shift);
  subject.compare(quantity, leak, { kind: "leak", shape: [T, T] });
  const future = leak.filter((_, i) => i % T < Math.floor(i / T));
  const extremes = {
    [`${prefix}max_leak_from_future`]: Math.max(...future),
    [`${prefix}min_leak_from_future`]: Math.min(...future),
  };
  const { limit } = tolerances.of("leak", "float32");
  for (const [name, computed] of Object.entries(extremes)) {
    for (const { values: recorded } of recording.sources(name, [1])) {
      report.compare(name, [{ name, recorded, computed: [computed] }], {
        measure: "absolute",
        limit: limit * Math.max(...leak),
      });
    }
  }
  if (model.config.mask !== "causal") return;
  report.compare(`${quantity}, from the future`, [{
    name: quantity,
    recorded: future.map(() => 0),
    computed: future,
  }], { measure: "count", limit: 0 });
}

/** By how much the recording shifts a token. */
function readReplacement({ recording }: Subject): number {
  const text = recording.text("leak_replacement");
  if (text === undefined) return 17;
  const [, shift] =
    /^token j -> \(token \+ (\d+)\) mod vocab_size(?:, in every row of the batch)?$/
      .exec(text) ?? [];
  if (shift === undefined) {
    throw new NotUnderstoodError(
      `metadata leak_replacement is ${
        JSON.stringify(text)
      }, not "token j -> (token + N) mod vocab_size"`,
    );
  }
  return Number(shift);
}

/** (T, T): for each changed position the largest change at each position. */
async function measureLeak(
  model: Model,
  { B, T, tokens }: Batches,
  shift: number,
): Promise<Float64Array> {
  const { vocabSize: V } = model.config;
  const original = tokens(0);
  const before = await model.forward(original, { B, T });
  const leak = new Float64Array(T * T);
  for (let j = 0; j < T; j++) {
    const changed = original.slice();
    for (let b = 0; b < B; b++) {
      changed[b * T + j] = (original[b * T + j]! + shift) % V;
    }
    const after = await model.forward(changed, { B, T });
    before.forEach((logit, i) => {
      const t = Math.floor(i / V) % T;
      const difference = Math.abs(after[i]! - logit);
      leak[j * T + t] = Math.max(leak[j * T + t]!, difference);
    });
  }
  return leak;
}
