/** Training state in checkpoints: weights, moments of the optimizer, and the step. */

import type { Numbers } from "../backends/backend.ts";
import {
  type Checkpoint,
  encodeCheckpoint,
  type TrainingState,
} from "../formats/checkpoint.ts";
import type { TrainConfig } from "../config/train.ts";
import type { ParameterLayout } from "../graph/layout.ts";
import type { Model } from "../model/model.ts";
import { internalsOf } from "../model/internals.ts";
import { momentsOf } from "./optimizer.ts";
import { flatParameters, readParameters } from "../model/parameters.ts";
import { refusal, refuser } from "../refusal.ts";

const cannotRestore = refuser(RangeError, "restore training");

/** Returns the stores to save, each with the name prefix of its tensors. */
function kept(config: TrainConfig): [store: string, prefix: string][] {
  const moments = momentsOf(config).map((store): [string, string] => [
    store,
    `optimizer.${store}.`,
  ]);
  return [["params", ""], ...moments];
}

/**
 * Encodes everything needed to resume after `step` as a checkpoint.
 *
 * @throws {RangeError} if a number in the checkpoint is not finite
 */
export async function encodeTraining(
  model: Model,
  { step, config }: TrainingState,
): Promise<Uint8Array<ArrayBuffer>> {
  const { config: modelConfig, tokenizer } = model;
  const { layout, stores } = internalsOf(model);
  // All reads start together, so that no step runs between them.
  const parts = await Promise.all(
    kept(config).map(([store, prefix]) =>
      readParameters(stores.get(store)!, layout, prefix)
    ),
  );
  const tensors = new Map(parts.flatMap((part) => [...part]));
  for (const [name, { data }] of tensors) {
    if (!(data as Float32Array).every(Number.isFinite)) {
      throw refusal(
        RangeError,
        "save training",
        `${name} has numbers that are not finite after step ${step}`,
      );
    }
  }
  const training = { step, config };
  return encodeCheckpoint({
    config: modelConfig,
    tensors,
    tokenizer,
    training,
  });
}

/**
 * Returns the step of a checkpoint and the content of its stores.
 *
 * @throws {RangeError} if the checkpoint has no training state, has another optimizer, or does not fit the layout
 */
export function decodeTraining(
  { tensors, training }: Checkpoint,
  { layout, config }: {
    readonly layout: ParameterLayout;
    readonly config: TrainConfig;
  },
): { step: number; stores: [name: string, values: Numbers][] } {
  if (training === undefined) {
    throw cannotRestore("the checkpoint has weights only");
  }
  const { optimizer } = training.config;
  if (optimizer !== config.optimizer) {
    // Moments have the same names and shapes with every optimizer, but different meanings.
    throw cannotRestore(
      `the checkpoint was trained with optimizer ${optimizer}, this training has ${config.optimizer}`,
    );
  }
  const stores = kept(config).map(([store, prefix]): [string, Numbers] => [
    store,
    flatParameters(layout, { tensors, prefix }),
  ]);
  return { step: training.step, stores };
}
