/**
 * Lowers a plan's dispatches to the steps that become the engine's records: the
 * kernels, the addresses that they run on, and the memory that they need in addition
 * to the plan's own buffers.
 */

import { gather } from "../../../kernels/wasm/elementwise.ts";
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
import { type Groups, groupsOf } from "./groups.ts";
import { matricesOf } from "./matrices.ts";
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
}

/** A step that only reorders a store, and so needs to run again only after the store changed. */
export interface FillingStep extends PlacedStep {
  /** The copy that the step fills. */
  readonly fills: CopySpec;
}

/** Lists of steps, each of which one thread takes through the whole list. The threads share the work of each step if there is a single one. */
export type Lists = readonly (readonly PlacedStep[])[];

/** The steps of a segment. */
export interface LoweredSegment {
  readonly segment: Segment;
  readonly fills: readonly FillingStep[];
  /** The steps, one piece after another. */
  readonly pieces: readonly Lists[];
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
  readonly segments: readonly LoweredSegment[];
  /** Numbers that never change, by their address. */
  readonly constants: ReadonlyMap<Address, readonly number[]>;
  /** The copies that the plan uses, each once. */
  readonly copies: readonly CopySpec[];
  readonly keptBytes: number;
  readonly sharedBytes: number;
  readonly scratchBytes: number;
}

/**
 * Lowers a plan. The sizes do not depend on the addresses, so a first call can compute the sizes of
 * the workspace that a second call then gets.
 */
export function lowerPlan(plan: Plan, workspace: Workspace): LoweredPlan {
  const constants = new Map<Address, readonly number[]>();
  const copies = new Map<string, CopySpec>();
  // A prompt is read once, so copies of large weights would only take memory.
  const readsPrompts = plan.dispatches.some(({ kernel }) =>
    kernel === "cacheAppend"
  );
  let [keptBytes, sharedBytes, scratchBytes] = [0, 0, 0];
  const keep = (bytes: number) => {
    const at = workspace.kept + keptBytes;
    keptBytes += align(bytes);
    return at;
  };

  /** Lowers a list of dispatches. */
  function lowerList(
    { from, dispatches, own, shared }: {
      /** The index of the first dispatch in the plan. */
      readonly from: number;
      readonly dispatches: readonly Dispatch[];
      /** The addresses of memory that replaces buffers. */
      readonly own: ReadonlyMap<number, Address>;
      /** Memory for what the steps of a dispatch share. */
      readonly shared: Address;
    },
    { changes, filled }: {
      readonly changes: Segment["changes"];
      /** The steps that fill copies for this segment, to which this list adds. */
      readonly filled: Map<CopySpec, FillingStep>;
    },
  ): { list: PlacedStep[]; bytes: number } {
    const list: PlacedStep[] = [];
    let bytes = 0;
    for (const [i, dispatch] of dispatches.entries()) {
      let used = 0;
      const share = (bytes: number) => {
        const at = shared + used;
        used += align(bytes);
        return at;
      };
      /** Copies that this dispatch reads in place of an input. */
      const copyOf = new Map<number, CopySpec>();
      const place = ({ buffer, offset }: Operand) =>
        (own.get(buffer) ?? workspace.buffer(buffer)) + 4 * offset;
      const made = build(dispatch, {
        outputs: dispatch.outputs.map(place),
        inputs: dispatch.inputs.map(place),
        blas: workspace.blas,
        constants: (values) => {
          const at = keep(4 * values.length);
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
        const placed = { step, dispatch: from + i };
        if (fills === undefined) list.push(placed);
        else if (!filled.has(fills)) filled.set(fills, { ...placed, fills });
      }
      bytes = Math.max(bytes, used);
    }
    return { list, bytes };
  }

  const segments = segmentsOf(plan).map((segment): LoweredSegment => {
    const { changes } = segment;
    const filled = new Map<CopySpec, FillingStep>();
    const none: ReadonlyMap<number, Address> = new Map();

    /** Lowers lists that run at the same time. `slots` are the numbers of slots of its own that a list needs. */
    const lists = (
      all: readonly {
        readonly from: number;
        readonly dispatches: readonly Dispatch[];
        readonly own?: ReadonlyMap<number, Address>;
        readonly slots?: ReadonlyMap<number, number>;
      }[],
    ): Lists => {
      let used = 0;
      const lowered = all.map(({ own = none, slots = new Map(), ...list }) => {
        const places = new Map(own);
        for (const [buffer, length] of slots) {
          places.set(buffer, workspace.shared + used);
          used += align(4 * length);
        }
        const shared = workspace.shared + used;
        const made = lowerList({ ...list, own: places, shared }, {
          changes,
          filled,
        });
        used += made.bytes;
        return made.list;
      });
      sharedBytes = Math.max(sharedBytes, used);
      return lowered;
    };

    const plain = (from: number, to: number) =>
      from === to
        ? []
        : [lists([{ from, dispatches: plan.dispatches.slice(from, to) }])];

    /** Lowers groups of texts, then the sums of what they computed. */
    const groupPieces = ({ parts, sums }: Groups): Lists[] => {
      const { from, to } = segment;
      // The first group adds to the stores themselves, the others to memory of their own.
      const count = parts.length - 1;
      const own = Array.from(sums, (buffer) => {
        const n = plan.buffers[buffer]!.length;
        const bytes = align(4 * n);
        return { buffer, n, bytes, x: keep(bytes * count) };
      });
      const first = lists(parts.map((dispatches, group) => ({
        ...{ from, dispatches },
        own: group === 0 ? none : new Map(
          own.map(({ buffer, x, bytes }) => [buffer, x + bytes * (group - 1)]),
        ),
      })));
      const last = own.map(({ buffer, ...arrays }) => ({
        step: gather({ y: workspace.buffer(buffer), count, ...arrays }),
        dispatch: to - 1,
      }));
      return [first, [last]];
    };

    const groups = groupsOf(plan, segment);
    const matrices = matricesOf(plan, segment);
    const pieces = groups ? groupPieces(groups) : matrices
      ? [
        ...plain(segment.from, matrices.from),
        lists(matrices.updates),
        ...plain(matrices.to, segment.to),
      ]
      : plain(segment.from, segment.to);
    return { segment, fills: [...filled.values()], pieces };
  });
  return {
    ...{ segments, constants, keptBytes, sharedBytes, scratchBytes },
    copies: [...copies.values()],
  };
}

function build(dispatch: Dispatch, site: Site): Step[] {
  // The record pairs each name with its own dims, as Dispatch does; the compiler cannot follow a union through it.
  const builder = builders[dispatch.kernel] as Builder<KernelName>;
  return builder(dispatch.dims, site);
}
