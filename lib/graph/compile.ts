/**
 * Compiles dispatches on tensors to a Plan: determines the lifetime of each
 * activation, and lets activations with disjoint lifetimes share a slot.
 */

import type { LabelledDispatch } from "./autodiff.ts";
import { inChunks } from "./chunks.ts";
import type { LayoutEntry, ParameterLayout } from "./layout.ts";
import {
  type BufferSpec,
  type Dispatch,
  extentOf,
  type Operand,
  type Plan,
} from "./plan.ts";
import { sizeOf, type Storage, type Tensor } from "./tensor.ts";

/** Input of {@linkcode compile}. */
export interface PlanSource {
  readonly name: string;
  /** Dispatches by phase; the phases run in this order. */
  readonly phases: Readonly<Record<string, readonly LabelledDispatch[]>>;
  readonly layout: ParameterLayout;
  /** Inputs that the host may write even if no dispatch reads them. */
  readonly inputs?: readonly Tensor[];
  /** Activations that stay readable after a run, by output name. */
  readonly outputs?: Readonly<Record<string, Tensor>>;
  /** Activations to store as float16, of an even number of elements; see `halfTensors`. None of them is an output. */
  readonly halves?: ReadonlySet<Tensor>;
  /** Most logits that the plan holds at once; see `inChunks`. */
  readonly mostLogits?: number | undefined;
}

/** Compiles dispatches to a frozen plan with its memory layout. */
export function compile(source: PlanSource): Plan {
  const outputs = Object.values(source.outputs ?? {});
  const listed = Object.entries(source.phases).map(
    ([name, dispatches]) =>
      [
        name,
        inChunks(dispatches, { most: source.mostLogits, outputs }),
      ] as const,
  );
  const dispatches = listed.flatMap(([, dispatches]) => dispatches);
  const place = new Placement(source, lifetimes(dispatches));
  for (const input of source.inputs ?? []) place.operand(input);
  const placed = dispatches.map((dispatch, step) => {
    // Outputs first: an output must not reuse the slot of an input of its own dispatch.
    const outputs = dispatch.outputs.map((tensor) => place.operand(tensor));
    const inputs = dispatch.inputs.map((tensor) => place.operand(tensor));
    place.release(step);
    return Object.freeze({ ...dispatch, outputs, inputs }) as Dispatch;
  });
  const phases: Record<string, readonly [number, number]> = {};
  let from = 0;
  for (const [name, { length }] of listed) {
    phases[name] = [from, from + length];
    from += length;
  }
  return Object.freeze({
    name: source.name,
    buffers: Object.freeze(place.buffers()),
    dispatches: Object.freeze(placed),
    phases: Object.freeze(phases),
  });
}

/** Returns the index of the last dispatch that uses each tensor. */
function lifetimes(
  dispatches: readonly LabelledDispatch[],
): Map<Tensor, number> {
  const last = new Map<Tensor, number>();
  dispatches.forEach(({ outputs, inputs }, step) => {
    for (const tensor of [...outputs, ...inputs]) {
      const { storage } = tensor;
      last.set(storage.kind === "part" ? storage.of : tensor, step);
    }
  });
  return last;
}

type Buffer = { -readonly [Key in keyof BufferSpec]: BufferSpec[Key] };

class Placement {
  readonly #source: PlanSource;
  /** Tensors whose last use is each dispatch. */
  readonly #ends: Map<number, Tensor[]>;
  readonly #entries: ReadonlyMap<string, LayoutEntry>;
  readonly #buffers: Buffer[] = [];
  readonly #byName = new Map<string, number>();
  readonly #slotOf = new Map<Tensor, number>();
  readonly #outputNames: Map<Tensor, string>;
  #free: number[] = [];

  constructor(source: PlanSource, last: Map<Tensor, number>) {
    this.#source = source;
    this.#ends = Map.groupBy(last.keys(), (tensor) => last.get(tensor)!);
    this.#entries = new Map(
      source.layout.entries.map((entry) => [entry.name, entry]),
    );
    this.#outputNames = new Map(
      Object.entries(source.outputs ?? {}).map(([name, tensor]) => [
        tensor,
        name,
      ]),
    );
  }

  buffers(): BufferSpec[] {
    return this.#buffers.map((buffer) => Object.freeze({ ...buffer }));
  }

  operand(tensor: Tensor): Operand {
    const length = sizeOf(tensor.shape);
    const storage: Storage = tensor.storage;
    switch (storage.kind) {
      case "parameter":
        return this.#parameter("params", tensor.name, length);
      case "gradient":
        return this.#parameter("grads", storage.of.name, length);
      case "range": {
        const whole = this.#source.layout.length;
        const buffer = this.#add(storage.store, "store", "f32", whole);
        return { buffer, offset: storage.offset, length };
      }
      case "part": {
        const whole = this.operand(storage.of);
        const part = { ...whole, length: storage.offset };
        return { ...whole, offset: whole.offset + extentOf(part), length };
      }
      case "input":
      case "store":
        return {
          buffer: this.#named(tensor.name, storage.kind, tensor, length),
          offset: 0,
          length,
        };
      case "slot": {
        const output = this.#outputNames.get(tensor);
        const place = { offset: 0, length };
        if (output !== undefined) {
          const buffer = this.#named(output, "output", tensor, length);
          return { buffer, ...place };
        }
        if (!this.#source.halves?.has(tensor)) {
          return { buffer: this.#slot(tensor, length), ...place };
        }
        const half = { buffer: 0, ...place, dtype: "f16" } as const;
        return { ...half, buffer: this.#slot(tensor, extentOf(half)) };
      }
    }
  }

  /** Frees the slots of tensors whose last use is dispatch `step`. */
  release(step: number): void {
    for (const tensor of this.#ends.get(step) ?? []) {
      const slot = this.#slotOf.get(tensor);
      if (slot === undefined) continue; // the tensor is in a store, an input or an output
      this.#slotOf.delete(tensor);
      this.#free.push(slot);
    }
  }

  #parameter(store: string, name: string, length: number): Operand {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new Error(`Cannot place parameter ${name}`);
    const buffer = this.#add(store, "store", "f32", this.#source.layout.length);
    return { buffer, offset: entry.offset, length };
  }

  #named(
    name: string,
    kind: BufferSpec["kind"],
    { dtype }: Tensor,
    length: number,
  ): number {
    return this.#add(name, kind, dtype, length);
  }

  #add(
    name: string,
    kind: BufferSpec["kind"],
    dtype: BufferSpec["dtype"],
    length: number,
  ): number {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const index = this.#buffers.push({ name, kind, dtype, length }) - 1;
    this.#byName.set(name, index);
    return index;
  }

  /** Returns the slot of a tensor: its own, else the smallest sufficient free slot, of equal ones the last that was freed, else the largest one, grown. */
  #slot(tensor: Tensor, length: number): number {
    const known = this.#slotOf.get(tensor);
    if (known !== undefined) return known;
    const sizeOfSlot = (slot: number) => this.#buffers[slot]!.length;
    const bySize = this.#free.toReversed().toSorted((a, b) =>
      sizeOfSlot(a) - sizeOfSlot(b)
    );
    const slot = bySize.find((free) => sizeOfSlot(free) >= length) ??
      bySize.at(-1);
    if (slot === undefined) {
      const number = this.#buffers.filter(({ kind }) => kind === "slot").length;
      const fresh = this.#add(`slot ${number}`, "slot", "f32", length);
      this.#slotOf.set(tensor, fresh);
      return fresh;
    }
    this.#free = this.#free.filter((free) => free !== slot);
    this.#buffers[slot]!.length = Math.max(sizeOfSlot(slot), length);
    this.#slotOf.set(tensor, slot);
    return slot;
  }
}

/** Formats a plan as text for people, one dispatch per line. */
export function formatPlan(plan: Plan): string {
  const operand = ({ buffer, offset, length, dtype }: Operand) => {
    const { name, kind, dtype: usual } = plan.buffers[buffer]!;
    const place = kind === "store" && offset > 0 ? `${name}+${offset}` : name;
    const type = dtype ?? usual;
    return `${place}[${length}${type === "f32" ? "" : ` ${type}`}]`;
  };
  const lines: string[] = [];
  for (const [name, [from, to]] of Object.entries(plan.phases)) {
    lines.push(`${plan.name}.${name}: ${to - from} dispatches`);
    for (const dispatch of plan.dispatches.slice(from, to)) {
      const { kernel, label, outputs, inputs, dims } = dispatch;
      const sizes = Object.entries(dims).filter(([, value]) =>
        value !== false && value !== null &&
        !(Array.isArray(value) && value.length === 0)
      ).map(([key, value]) => value === true ? key : `${key}=${value}`);
      lines.push(
        `  ${label.padEnd(18)} ${kernel.padEnd(26)} ${
          outputs.map(operand).join(" ")
        } <- ${inputs.map(operand).join(" ")}  (${sizes.join(" ")})`,
      );
    }
  }
  const bytes = (kind: BufferSpec["kind"]) =>
    plan.buffers.filter((buffer) => buffer.kind === kind)
      .reduce((sum, { length }) => sum + 4 * length, 0) / 1e6;
  lines.push(
    `memory: stores ${bytes("store").toFixed(1)} MB, slots ${
      bytes("slot").toFixed(1)
    } MB in ${
      plan.buffers.filter(({ kind }) => kind === "slot").length
    } buffers`,
  );
  return lines.join("\n");
}
