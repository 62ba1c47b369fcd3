/** The loss at each position of a window, within and beyond the context that a model was trained with. */

import { modelConfig } from "../../config/model.ts";
import { Model } from "../../model/model.ts";
import { innerValues } from "./inner_values.ts";
import type { Windows } from "./windows.ts";

/** Returns the mean loss at each position, (T), in nats: position t has seen t + 1 tokens. */
export async function lossByPosition(
  model: Model,
  windows: Windows,
  signal?: AbortSignal,
): Promise<number[]> {
  const { T, count: all } = windows;
  const sums = new Float64Array(T);
  for await (
    const { count, values } of innerValues(model, windows, {
      inside: "loss",
      signal,
    })
  ) {
    const losses = values.get("loss")!;
    for (let i = 0; i < count * T; i++) sums[i % T]! += losses[i]!;
  }
  return Array.from(sums, (sum) => sum / all);
}

/**
 * Makes a model with the same weights and a longer context. Computed tables, of sines and of
 * rotations, become longer; ALiBi and no positions at all need none.
 *
 * @throws {RangeError} for learned positions: there are no weights for the new ones
 */
export async function lengthened(
  model: Model,
  blockSize: number,
): Promise<Model> {
  const { backend } = model;
  if (model.config.position === "learned") {
    throw new RangeError(
      `Cannot lengthen model: it has learned ${model.config.blockSize} positions, there is nothing for the other ${
        blockSize - model.config.blockSize
      }`,
    );
  }
  const config = modelConfig({ ...model.config, blockSize });
  return await Model.load(
    { config, tensors: await model.parameters() },
    { backend },
  );
}
