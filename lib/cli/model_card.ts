/** What can be said of a model without running it: its tensors, its work, its memory. */

import type { ModelConfig } from "../config.ts";
import { modelFields } from "../config_fields.ts";
import type { LayoutEntry } from "../graph/layout.ts";
import type { BufferKind, Plan } from "../graph/plan.ts";
import { flopsPerToken } from "../parameters.ts";
import { cachedPlan, parameterLayout } from "../plans.ts";
import { short } from "./progress.ts";

/** A configuration in words and numbers. `trainPlan`: a step of its training. */
export function modelCard(config: ModelConfig, trainPlan: Plan): string {
  const layout = parameterLayout(config);
  const flops = flopsPerToken(config, layout);
  const { blockSize } = config;
  const prefill = cachedPlan(config, { B: 1, T: blockSize });
  const stores = memory(trainPlan, "store");
  const rest = memory(trainPlan, "slot") + memory(trainPlan, "input");
  const weights = 4 * layout.length;
  const cache = memory(prefill, "store") - weights;
  return [
    heading(`${layout.count.toLocaleString("en")} parameters`),
    ...tensorTable(layout.entries, config.nLayer),
    "",
    heading("work"),
    `training    ${
      short(flops)
    }FLOP a token (PaLM's count, at ${blockSize} tokens)`,
    `generating  about a third of it, ${short(flops / 3)}FLOP a token`,
    "",
    heading("memory, float32"),
    `training    ${bytes(stores + rest)}: ${
      bytes(stores)
    } of weights, gradients and moments, ${bytes(rest)} of activations`,
    `generating  ${bytes(weights)} of weights, ${
      bytes(cache)
    } of keys and values for ${blockSize} tokens`,
    "",
    heading("configuration"),
    ...configuration(config),
  ].join("\n");
}

function heading(text: string): string {
  return `${text}\n${"-".repeat(text.length)}`;
}

/** One line a tensor; the blocks, which are alike, share theirs. */
function tensorTable(
  entries: readonly LayoutEntry[],
  nLayer: number,
): string[] {
  const once = entries.filter(({ name }) => !/^h\.[1-9]/.test(name));
  const rows = once.map(({ name, shape, length }) => {
    const inBlock = name.startsWith("h.0.");
    const count = inBlock ? nLayer * length : length;
    return [
      inBlock ? name.replace("h.0.", "h.*.") : name,
      `${inBlock && nLayer > 1 ? `${nLayer} x ` : ""}[${shape.join(", ")}]`,
      count.toLocaleString("en"),
    ] as const;
  });
  const width = (column: 0 | 1 | 2) =>
    Math.max(...rows.map((row) => row[column].length));
  return rows.map(([name, shape, count]) =>
    `${name.padEnd(width(0))}  ${shape.padEnd(width(1))}  ${
      count.padStart(width(2))
    }`
  );
}

function configuration(config: ModelConfig): string[] {
  return [...modelFields.keys()].map((field) =>
    `${field.padEnd(14)}  ${config[field] ?? "off"}`
  );
}

/** Bytes in a plan's buffers of a kind. */
function memory(plan: Plan, kind: BufferKind): number {
  return plan.buffers.filter((buffer) => buffer.kind === kind)
    .reduce((sum, { length }) => sum + 4 * length, 0);
}

/** Bytes in words. */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit++;
  }
  return `${Number(count.toFixed(1))} ${units[unit]}`;
}
