/** Times reductions of rows as trees and in subgroups; those in subgroups are checked against float64 first. */

import type { KernelName } from "../../kernels/vocabulary.ts";
import {
  type Builder,
  leastTarget,
  ROWS,
  type Target,
} from "../../kernels/wgsl/kernel.ts";
import { builders } from "../../kernels/wgsl/registry.ts";
import { SUBGROUPS } from "../../kernels/wgsl/subgroups.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { checkCase } from "../../lib/checks/conformance.ts";
import type { Case } from "../../lib/checks/conformance_case.ts";
import { presetTraining } from "../../lib/checks/workloads.ts";
import type { PresetName } from "../../lib/config/presets.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { median } from "../../tools/soak/trend.ts";
import { timeOps } from "./steps.ts";

/** Milliseconds of all reductions of a training step. */
export interface RowTimes {
  readonly tree: number;
  readonly subgroups: number;
}

const target: Target = {
  ...leastTarget,
  tiling: "workgroup",
  features: ["subgroups"],
  products: { [ROWS]: SUBGROUPS },
};

/** Returns true if a dispatch reduces rows, so that a table can choose subgroups for it. */
export function reducesRows(
  { kernel, dims }: Pick<Case, "kernel" | "dims">,
): boolean {
  const build = builders[kernel] as Builder<KernelName>;
  return build(dims, target).passes.some(({ code }) =>
    code.includes("subgroupAdd(")
  );
}

/**
 * Times the reductions of a preset's training step on this machine's adapter, with kernels for hardware.
 *
 * @throws {RangeError} if the adapter cannot reduce in subgroups
 */
export async function timeRows(
  preset: PresetName,
  { rounds }: { readonly rounds: number },
): Promise<RowTimes> {
  const any = {
    ...{ adapter: "any", tiling: "workgroup", profile: true } as const,
  };
  await using tree = await openWebGpu(any);
  const products = { [tree.name]: { [ROWS]: SUBGROUPS } };
  await using subgroups = await openWebGpu({ ...any, products });
  const { model, train } = presetTraining(preset);
  const shape = { B: train.batchSize, T: model.blockSize };
  const reductions = new Map<string, Case>();
  for (const { kernel, dims } of trainPlan(model, train, shape).dispatches) {
    const one = { kernel, dims } as Case;
    if (reducesRows(one)) reductions.set(kernel + JSON.stringify(dims), one);
  }
  for (const one of reductions.values()) await checkCase(subgroups, one);
  const kernels = new Set(
    [...reductions.values()].map(({ kernel }): string => kernel),
  );
  const times = { tree: [] as number[], subgroups: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    for (const [name, backend] of Object.entries({ tree, subgroups })) {
      const ops = await timeOps(backend, preset, 3);
      times[name as keyof RowTimes].push(
        ops.reduce(
          (sum, { name, ms }) => kernels.has(name) ? sum + ms : sum,
          0,
        ),
      );
    }
  }
  return { tree: median(times.tree), subgroups: median(times.subgroups) };
}
