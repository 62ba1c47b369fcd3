/** Describes a model without running it: its tensors, its work, its memory. */

import { needText, roomText } from "../../backends/backend.ts";
import { type ModelConfig, modelFields } from "../../config/model.ts";
import type { LayoutEntry } from "../../graph/layout.ts";
import type { BufferKind, Plan } from "../../graph/plan.ts";
import { flopsPerToken } from "../../model/parameters.ts";
import { cachedPlan, parameterLayout } from "../../model/plans.ts";
import { compact, count } from "../../report/numbers.ts";
import { deviceName } from "./device_name.ts";
import type { DeviceMemory } from "./training_memory.ts";

/** Facts about a model as plain data. Memory is in bytes. */
export interface ModelFacts {
  readonly parameters: number;
  readonly tensors: readonly Pick<LayoutEntry, "name" | "shape" | "length">[];
  /** PaLM's count for a token of training; generating one is about a third of it. */
  readonly flopsPerToken: number;
  readonly memory: {
    readonly training: {
      /** Weights, gradients and moments. */
      readonly stores: number;
      readonly activations: number;
    };
    readonly generating: {
      readonly weights: number;
      /** Keys and values of a whole context. */
      readonly cache: number;
    };
  };
  readonly model: ModelConfig;
}

/** Gathers the facts about a configuration. `trainPlan`: a step of its training. */
export function modelFacts(model: ModelConfig, trainPlan: Plan): ModelFacts {
  const layout = parameterLayout(model);
  const prefill = cachedPlan(model, { B: 1, T: model.blockSize });
  const weights = 4 * layout.length;
  return {
    parameters: layout.count,
    tensors: layout.entries.map(({ name, shape, length }) => ({
      name,
      shape,
      length,
    })),
    flopsPerToken: flopsPerToken(model, layout),
    memory: {
      training: {
        stores: memory(trainPlan, "store"),
        activations: memory(trainPlan, "slot") + memory(trainPlan, "input"),
      },
      generating: { weights, cache: memory(prefill, "store") - weights },
    },
    model,
  };
}

/** Formats a model's facts as text. */
export function modelCard(
  { parameters, tensors, flopsPerToken, memory, model }: ModelFacts,
  onDevice: DeviceMemory,
): string {
  const { training, generating } = memory;
  const { blockSize, nLayer } = model;
  return [
    heading(`${count(parameters)} parameters`),
    ...tensorTable(tensors, nLayer),
    "",
    heading("work"),
    `training    ${
      compact(flopsPerToken)
    }FLOP a token (PaLM's count, at ${blockSize} tokens)`,
    `generating  about a third of it, ${
      compact(flopsPerToken / 3)
    }FLOP a token`,
    "",
    heading("memory, float32"),
    `training    ${bytes(training.stores + training.activations)}: ${
      bytes(training.stores)
    } of weights, gradients and moments, ${
      bytes(training.activations)
    } of activations`,
    `generating  ${bytes(generating.weights)} of weights, ${
      bytes(generating.cache)
    } of keys and values for ${blockSize} tokens`,
    ...deviceMemory(onDevice),
    "",
    heading("configuration"),
    ...configuration(model),
  ].join("\n");
}

/** Returns the lines about the memory needed in total on a device. */
function deviceMemory(
  { device, free, training, generating }: DeviceMemory,
): string[] {
  const need = (bytes: number | string, note = "") =>
    typeof bytes === "string" ? bytes : needText(bytes) + note;
  const room = free === null ? "" : `, ${roomText(free)} free`;
  return [
    "",
    heading(`memory on ${deviceName(device)}${room}`),
    `training    ${need(training, ", evaluations and samples included")}`,
    `generating  ${need(generating)}`,
  ];
}

/** Underlines a line of text. */
export function heading(text: string): string {
  return `${text}\n${"-".repeat(text.length)}`;
}

/** Returns one line a tensor; the blocks, which are alike, share their lines. */
function tensorTable(
  entries: ModelFacts["tensors"],
  nLayer: number,
): string[] {
  const once = entries.filter(({ name }) => !/^h\.[1-9]/.test(name));
  const rows = once.map(({ name, shape, length }) => {
    const inBlock = name.startsWith("h.0.");
    return [
      inBlock ? name.replace("h.0.", "h.*.") : name,
      `${inBlock && nLayer > 1 ? `${nLayer} x ` : ""}[${shape.join(", ")}]`,
      count(inBlock ? nLayer * length : length),
    ] as const;
  });
  const width = (column: 0 | 1 | 2) =>
    Math.max(...rows.map((row) => row[column].length));
  return rows.map(([name, shape, numbers]) =>
    `${name.padEnd(width(0))}  ${shape.padEnd(width(1))}  ${
      numbers.padStart(width(2))
    }`
  );
}

function configuration(config: ModelConfig): string[] {
  return [...modelFields.keys()].map((field) =>
    `${field.padEnd(14)}  ${config[field] ?? "off"}`
  );
}

/** Returns the bytes in a plan's buffers of a kind. */
function memory(plan: Plan, kind: BufferKind): number {
  return plan.buffers.filter((buffer) => buffer.kind === kind)
    .reduce((sum, { length }) => sum + 4 * length, 0);
}

/** Formats a number of bytes. */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit++;
  }
  return `${Number(count.toFixed(1))} ${units[unit]}`;
}
