/** Estimates the device memory that `train` needs, and suggests remedies if it is too much. */

import {
  type Backend,
  executorOf,
  OutOfMemoryError,
} from "../../backends/backend.ts";
import type { ModelConfig } from "../../config/model.ts";
import { DEFAULT_PRESET, presets } from "../../config/presets.ts";
import { type TrainConfig, trainConfig } from "../../config/train.ts";
import { MAX_NEW_TOKENS } from "../../model/generate.ts";
import { generationPlans } from "../../model/generation.ts";
import type { Plan } from "../../graph/plan.ts";
import type { Model } from "../../model/model.ts";
import { trainingPlans } from "../../train/memory.ts";
import { internalsOf } from "../../model/internals.ts";
import { isRefusal } from "../../refusal.ts";
import { commandError, withFlagNames } from "../command/errors.ts";
import { flagName } from "../command/flag.ts";
import { program } from "../command/program.ts";
import type { TrainingSetup } from "./training_setup.ts";

/** Tokens of a sample made during training. */
export const SAMPLE_TOKENS = 100;

/** Returns the plans that `train` runs: its step, its evaluations and its samples. */
function plansOfTraining(
  model: ModelConfig,
  train: TrainConfig,
): Plan[] {
  const sample = { promptLength: 1, maxNewTokens: SAMPLE_TOKENS };
  return trainingPlans({ model, train, blockSize: model.blockSize, sample });
}

/** A model's need of a device's memory. */
export interface DeviceMemory {
  readonly device: Pick<Backend, "kind" | "description">;
  /** Bytes that are free, if the device says. */
  readonly free: number | null;
  /** Bytes that its training takes, evaluations and samples included; or why the device cannot run it. */
  readonly training: number | string;
  /** Bytes that it takes to generate text; or why the device cannot run it. */
  readonly generating: number | string;
}

/** Measures a model's need of memory on a device that holds nothing else. */
export function memoryOn(
  backend: Backend,
  { model, train }: {
    readonly model: ModelConfig;
    readonly train: TrainConfig;
  },
): DeviceMemory {
  const executor = executorOf(backend);
  const measure = (plans: readonly Plan[]) => {
    try {
      return executor.measure(plans);
    } catch (error) {
      if (error instanceof RangeError) return error.message;
      throw error;
    }
  };
  const { kind, description, room = null } = backend;
  const generation = generationPlans(model, {
    ...{ rows: 1, promptLength: model.blockSize },
    maxNewTokens: MAX_NEW_TOKENS,
  });
  return {
    device: { kind, description },
    free: room,
    training: measure(plansOfTraining(model, train)),
    generating: measure([...generation.values()]),
  };
}

/**
 * Returns an error with a hint, if it says that a training does not fit.
 *
 * @param model the model, if that fits
 */
export function withMemoryHint(
  error: unknown,
  setup: TrainingSetup,
  model?: Model,
): unknown {
  if (!(error instanceof RangeError && isRefusal(error))) return error;
  const smaller = model && smallerBatch(setup, model);
  const isLack = error instanceof OutOfMemoryError;
  if (!isLack && smaller === undefined) return error;
  const { action, reason } = withFlagNames(error);
  return commandError(action, reason, hint(setup, smaller));
}

function hint(
  { resumed, initial, path, train }: TrainingSetup,
  smaller: string | undefined,
): string {
  if (resumed !== undefined) {
    return smaller === undefined
      ? "a resumed run keeps its sizes: another --device may have the memory"
      : `a resumed run keeps its batch size: ${program()} train --init ${path} ${
        [...storageFlags(train), smaller].join(" ")
      } fits, as a new run with its weights`;
  }
  if (smaller !== undefined) {
    return `${smaller} fits, with as many tokens a step`;
  }
  return initial === undefined
    ? "a smaller --n-layer, --n-embd or --block-size needs less; another --device may have more"
    : "a model keeps its sizes: another --device may have the memory";
}

/** Returns flags for the settings, other than sizes, that the memory depends on and that a new run would not have by itself. */
function storageFlags(train: TrainConfig): string[] {
  const usual = trainConfig(presets[DEFAULT_PRESET].train);
  return (["optimizer", "precision"] as const)
    .filter((field) => train[field] !== usual[field])
    .map((field) => `--${flagName(field)} ${train[field]}`);
}

/** Returns flags for the largest part of the batch that fits, taken so many times; undefined if none does. */
function smallerBatch(
  { train }: TrainingSetup,
  model: Model,
): string | undefined {
  const { batchSize, gradAccumulation } = train;
  for (let parts = 2; parts <= batchSize; parts++) {
    if (batchSize % parts !== 0) continue;
    const smaller = {
      batchSize: batchSize / parts,
      gradAccumulation: parts * gradAccumulation,
    };
    const plans = plansOfTraining(model.config, { ...train, ...smaller });
    if (!fits(model, plans)) continue;
    return `--batch-size ${smaller.batchSize} --grad-accumulation ${smaller.gradAccumulation}`;
  }
  return undefined;
}

function fits(model: Model, plans: readonly Plan[]): boolean {
  try {
    internalsOf(model).checkRoom("train", plans);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
