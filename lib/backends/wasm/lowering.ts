/**
 * Lowers a plan's dispatches to the steps that become the engine's records: the
 * kernels, the addresses that they run on, and the memory that they need in addition
 * to the plan's own buffers.
 */

import { builders } from "../../../kernels/wasm/registry.ts";
import {
  type Address,
  type BlasTraits,
  type Builder,
  MOST_COPIED,
  type Site,
  type Step,
} from "../../../kernels/wasm/step.ts";
import type { KernelName } from "../../../kernels/vocabulary.ts";
import type { Dispatch, Operand, Plan } from "../../graph/plan.ts";
import { groupsOf } from "./groups.ts";
import { align } from "./memory.ts";

/** Dispatches that always run together: no phase begins or ends between them. */
export interface Segment {
  /** Indices into {@linkcode Plan.dispatches}. */
  readonly from: number;
  readonly to: number;
  /** Stores that the segment changes, by index into {@linkcode Plan.buffers}. */
  readonly changes: ReadonlySet<number>;
}

/** Cuts a plan into segments, at the beginning and the end of each phase. */
export function segmentsOf({ dispatches, phases, buffers }: Plan): Segment[] {
  const cuts = new Set([0, dispatches.length, ...Object.values(phases).flat()]);
  const places = [...cuts].sort((a, b) => a - b);
  return places.slice(1).map((to, i) => {
    const from = places[i]!;
    const changes = new Set(
      dispatches.slice(from, to).flatMap(({ outputs }) =>
        outputs.map(({ buffer }) => buffer)
      ).filter((buffer) => buffers[buffer]!.kind === "store"),
    );
    return { from, to, changes };
  });
}

/** A step, and the index of the dispatch that it belongs to. */
export interface PlacedStep {
  readonly step: Step;
  readonly dispatch: number;
  /** The group of texts that the step belongs to, 0 if there are none. */
  readonly group: number;
  /** The copy that the step fills, if it only reorders a store. Such a step needs to run again only after the store changes. */
  readonly fills?: CopySpec;
}

/** A reordered copy of a part of a store. */
export interface CopySpec {
  /** Index into {@linkcode Plan.buffers}. */
  readonly buffer: number;
  /** The name of the part and its order. */
  readonly order: string;
  readonly bytes: number;
}

/** Returns a key that identifies a copy within its plan. */
export function keyOf({ buffer, order }: CopySpec): string {
  return `${buffer} ${order}`;
}

/** Addresses of the memory that a program uses. */
export interface Workspace {
  /** Returns the address of a buffer of the plan, by its index. */
  readonly buffer: (index: number) => Address;
  /** Memory that lives as long as the program: constants. */
  readonly kept: Address;
  /** Memory that the dispatches reuse one after another. */
  readonly shared: Address;
  /** Returns the address of a copy. */
  readonly copy: (spec: CopySpec) => Address;
  /** The machine's BLAS if the threads can call one. */
  readonly blas: BlasTraits | undefined;
}

/** A plan as steps, and the sizes of the workspace that they need, in bytes. */
export interface LoweredPlan {
  readonly steps: readonly PlacedStep[];
  /** Numbers that never change, by their address. */
  readonly constants: ReadonlyMap<Address, readonly number[]>;
  /** The copies that the plan uses, each once. */
  readonly copies: readonly CopySpec[];
  readonly keptBytes: number;
  readonly sharedBytes: number;
  readonly scratchBytes: number;
  /** Groups of texts, each of which one thread takes through the whole plan; 1 if the threads share the work of each step. */
  readonly groups: number;
}

/**
 * Lowers a plan. The sizes do not depend on the addresses, so a first call can compute the sizes of
 * the workspace that a second call then gets.
 */
export function lowerPlan(plan: Plan, workspace: Workspace): LoweredPlan {
  const constants = new Map<Address, readonly number[]>();
  const copies = new Map<string, CopySpec>();
  const steps: PlacedStep[] = [];
  let [keptBytes, sharedBytes, scratchBytes] = [0, 0, 0];
  const groups = groupsOf(plan) ?? [plan];
  for (const [group, part] of groups.entries()) {
    const lowered = lowerGroup(part, {
      ...workspace,
      kept: workspace.kept + keptBytes,
      // Several groups run at the same time.
      shared: workspace.shared + sharedBytes,
    });
    for (const [at, values] of lowered.constants) constants.set(at, values);
    for (const { fills, ...placed } of lowered.steps) {
      if (fills === undefined) steps.push({ ...placed, group });
      else if (!copies.has(keyOf(fills))) {
        steps.push({ ...placed, group, fills });
      }
    }
    for (const copy of lowered.copies) copies.set(keyOf(copy), copy);
    keptBytes += lowered.keptBytes;
    sharedBytes += lowered.sharedBytes;
    scratchBytes = Math.max(scratchBytes, lowered.scratchBytes);
  }
  return {
    ...{ steps, constants, keptBytes, sharedBytes, scratchBytes },
    copies: [...copies.values()],
    groups: groups.length,
  };
}

/** Lowers the dispatches of one group of texts, or of a plan that has none. */
function lowerGroup(
  plan: Plan,
  workspace: Workspace,
): Omit<LoweredPlan, "groups"> {
  const steps: PlacedStep[] = [];
  const constants = new Map<Address, readonly number[]>();
  const copies = new Map<string, CopySpec>();
  // A prompt is read once, so copies of large weights would only take memory.
  const readsPrompts = plan.dispatches.some(({ kernel }) =>
    kernel === "cacheAppend"
  );
  let keptBytes = 0;
  let sharedBytes = 0;
  let scratchBytes = 0;
  for (const { from, to, changes } of segmentsOf(plan)) {
    const filled = new Set<CopySpec>();
    plan.dispatches.slice(from, to).forEach((dispatch, i) => {
      let used = 0;
      const share = (bytes: number) => {
        const at = workspace.shared + used;
        used += align(bytes);
        return at;
      };
      /** Copies that this dispatch reads in place of an input. */
      const copyOf = new Map<number, CopySpec>();
      const place = ({ buffer, offset }: Operand) =>
        workspace.buffer(buffer) + 4 * offset;
      const made = build(dispatch, {
        outputs: dispatch.outputs.map(place),
        inputs: dispatch.inputs.map(place),
        blas: workspace.blas,
        constants: (values) => {
          const at = workspace.kept + keptBytes;
          keptBytes += align(4 * values.length);
          constants.set(at, values);
          return at;
        },
        shared: share,
        scratch: (bytes) => {
          scratchBytes = Math.max(scratchBytes, bytes);
        },
        packed: (input, order, bytes) => {
          const { buffer, offset } = dispatch.inputs[input]!;
          const { kind } = plan.buffers[buffer]!;
          const isKept = kind === "store" && !changes.has(buffer) &&
            (bytes <= MOST_COPIED || !readsPrompts);
          if (!isKept) return share(bytes);
          const spec = { buffer, order: `${order} from ${offset}`, bytes };
          const copy = copies.get(keyOf(spec)) ?? spec;
          copies.set(keyOf(copy), copy);
          copyOf.set(input, copy);
          return workspace.copy(copy);
        },
      });
      for (const step of made) {
        const fills = step.packs === undefined
          ? undefined
          : copyOf.get(step.packs);
        const placed = { step, dispatch: from + i, group: 0 };
        if (fills === undefined) steps.push(placed);
        else if (!filled.has(fills)) {
          filled.add(fills);
          steps.push({ ...placed, fills });
        }
      }
      sharedBytes = Math.max(sharedBytes, used);
    });
  }
  return {
    ...{ steps, constants, keptBytes, sharedBytes, scratchBytes },
    copies: [...copies.values()],
  };
}

function build(dispatch: Dispatch, site: Site): Step[] {
  // The record pairs each name with its own dims, as Dispatch does; the compiler cannot follow a union through it.
  const builder = builders[dispatch.kernel] as Builder<KernelName>;
  return builder(dispatch.dims, site);
}
