/** A plan bound to the wasm engine: its memory, and the records that the threads walk through. */

import { RECORD_BYTES } from "../../../kernels/wasm/codes.ts";
import type { BufferSpec, Plan } from "../../graph/plan.ts";
import {
  type DeviceBuffer,
  type DispatchTime,
  OutOfMemoryError,
  type Program,
  type Stores,
} from "../backend.ts";
import { bufferBytes, checkPlan, knownStore } from "../checks.ts";
import { type ReorderedCopy, WasmBuffer } from "./buffer.ts";
import type { WasmContext } from "./context.ts";
import { sizeOf } from "./memory.ts";
import {
  type CopySpec,
  keyOf,
  type Lowering,
  lowerPlan,
  type PlacedStep,
  type Segment,
  segmentsOf,
  writeRecord,
} from "./lowering.ts";

/** A {@linkcode Program} on the CPU. */
export interface WasmProgram extends Program {
  /** Runs the plan once, dispatch by dispatch, and gives the time of each in the order they ran. */
  profile(): DispatchTime[];
}

/**
 * Multiplications and additions in a step, on average, from which on several threads share it. Handing
 * a step over and waiting for its end takes some microseconds, in which one thread does about this much.
 */
const WORTH_SHARING = 60_000;

/**
 * Binds a plan; see `Executor.compile`.
 *
 * @throws {RangeError} if the plan needs more memory than there is, or a store of another shape exists;
 *   nothing is left allocated then
 */
export function compileProgram(
  plan: Plan,
  stores: Stores,
  context: WasmContext,
): WasmProgram {
  const action = `compile ${plan.name}`;
  context.checkOpen(action);
  checkPlan(plan);
  const shared = plan.buffers.map((spec) =>
    spec.kind === "store" ? sharedStore(spec, stores, context) : undefined
  );
  const sizes = sizesOf(plan);
  const needed = bytesFor([[plan, sizes]], stores, context);
  const { room } = context.memory;
  if (needed > room) throw new OutOfMemoryError(action, { needed, room });
  const undo: (() => void)[] = [];
  const release = () => {
    for (const free of undo.splice(0)) free();
  };
  const allocate = (bytes: number) => {
    const at = context.memory.allocate(bytes, `workspace of ${plan.name}`);
    undo.push(() => context.memory.free(at));
    return at;
  };
  const added: WasmBuffer[] = [];
  try {
    const buffers = plan.buffers.map((spec, i) => {
      if (shared[i]) return shared[i];
      const buffer = new WasmBuffer(spec, context);
      if (spec.kind === "store") {
        stores.set(spec.name, buffer);
        added.push(buffer);
      } else undo.push(() => buffer.destroy());
      return buffer;
    });
    const copies = new Map(sizes.copies.map((spec) => {
      const store = buffers[spec.buffer]!;
      const copy = store.shareCopy(spec.order, spec.bytes);
      undo.push(() => store.leaveCopy(spec.order));
      return [keyOf(spec), copy];
    }));
    const copyOf = (spec: CopySpec) => copies.get(keyOf(spec))!;
    const { steps, constants } = lowerPlan(plan, {
      buffer: (index) => buffers[index]!.at,
      copy: (spec) => copyOf(spec).at,
      kept: allocate(sizes.keptBytes),
      shared: allocate(sizes.sharedBytes),
    });
    context.reserveScratch(sizes.scratchBytes);
    for (const [at, values] of constants) {
      context.memory.f32(at, values.length).set(values);
    }
    const records = allocate(RECORD_BYTES * steps.length);
    const own = plan.buffers.filter(({ kind }) => kind !== "store");
    const bytes = own.reduce(
      (sum, spec) => sum + bytesOf(spec),
      workspaceBytes(sizes),
    );
    return new BoundProgram(plan, {
      ...{ buffers, context, copyOf, bytes, release, records, steps },
    });
  } catch (error) {
    release();
    for (const store of added) {
      stores.delete(store.spec.name);
      store.destroy();
    }
    throw error;
  }
}

/** Lowers a plan to find out what it takes. */
function sizesOf(plan: Plan): Lowering {
  const nowhere = () => 0;
  const workspace = { buffer: nowhere, copy: nowhere, kept: 0, shared: 0 };
  return lowerPlan(plan, workspace);
}

/** Returns the bytes that compiling plans allocates, all of them together; see `Executor.measure`. */
export function measurePlans(
  plans: readonly Plan[],
  stores: Stores | undefined,
  context: WasmContext,
): number {
  const lowered = plans.map((plan) => [plan, sizesOf(plan)] as const);
  return bytesFor(lowered, stores, context);
}

function bytesFor(
  lowered: readonly (readonly [Plan, Lowering])[],
  stores: Stores | undefined,
  context: WasmContext,
): number {
  const copies = new Map<string, number>();
  let [workspaces, scratch] = [0, 0];
  for (const [plan, sizes] of lowered) {
    workspaces += workspaceBytes(sizes);
    scratch = Math.max(scratch, sizes.scratchBytes);
    for (const { buffer, order, bytes } of sizes.copies) {
      const { name } = plan.buffers[buffer]!;
      const store = stores?.get(name);
      if (store instanceof WasmBuffer && store.hasCopy(order)) continue;
      copies.set(`${name} ${order}`, sizeOf(bytes));
    }
  }
  const isEmpty = stores === undefined;
  const plans = lowered.map(([plan]) => plan);
  return bufferBytes(plans, stores, bytesOf) + workspaces +
    copies.values().reduce((sum, bytes) => sum + bytes, 0) +
    context.bytesOfScratch(scratch, { isEmpty });
}

function bytesOf({ length }: BufferSpec): number {
  return sizeOf(4 * length);
}

/** Bytes that a program has for itself besides its buffers. */
function workspaceBytes(
  { keptBytes, sharedBytes, steps }: Lowering,
): number {
  return [keptBytes, sharedBytes, RECORD_BYTES * steps.length]
    .reduce((sum, bytes) => sum + sizeOf(bytes), 0);
}

/** The store of this name, if there is one. */
function sharedStore(
  spec: BufferSpec,
  stores: Stores,
  context: WasmContext,
): WasmBuffer | undefined {
  const known = knownStore(
    spec,
    stores,
    (store): store is WasmBuffer =>
      store instanceof WasmBuffer && store.context === context,
  );
  known?.checkUsable(`use store ${spec.name}`);
  return known;
}

/** Records that are run in one go. */
interface Stretch {
  /** Byte address of the first record, and of the end. */
  readonly from: number;
  readonly to: number;
  /** Whether it is worth waking the workers. */
  readonly parallel: boolean;
}

/** Brings copies of a store up to date. */
interface Preparation {
  readonly store: WasmBuffer;
  readonly copies: readonly ReorderedCopy[];
  /** A record for each copy. */
  readonly stretch: Stretch;
}

/** A segment of the plan, ready to run. */
interface BoundSegment {
  readonly segment: Segment;
  readonly preparations: readonly Preparation[];
  readonly stretch: Stretch;
}

/** Writes records one behind the other. */
class RecordWriter {
  readonly #words: Int32Array;
  #at: number;

  constructor(words: Int32Array, at: number) {
    this.#words = words;
    this.#at = at;
  }

  write(steps: readonly PlacedStep[]): Stretch {
    const from = this.#at;
    let work = 0;
    for (const placed of steps) {
      const word = (this.#at - this.#words.byteOffset) / 4;
      writeRecord(this.#words.subarray(word), placed);
      this.#at += RECORD_BYTES;
      work += placed.step.work;
    }
    const parallel = work >= WORTH_SHARING * steps.length;
    return { from, to: this.#at, parallel };
  }
}

/** The one implementation of {@linkcode WasmProgram}. */
class BoundProgram implements WasmProgram {
  readonly plan: Plan;
  readonly bytes: number;
  readonly #buffers: readonly WasmBuffer[];
  readonly #context: WasmContext;
  readonly #release: () => void;
  readonly #segments: readonly BoundSegment[];
  /** How many records each dispatch has besides preparations. */
  readonly #counts: readonly number[];
  #destroyed = false;

  constructor(
    plan: Plan,
    { buffers, copyOf, context, bytes, release, records, steps }: {
      buffers: readonly WasmBuffer[];
      copyOf: (spec: CopySpec) => ReorderedCopy;
      context: WasmContext;
      bytes: number;
      release: () => void;
      records: number;
      steps: readonly PlacedStep[];
    },
  ) {
    this.plan = plan;
    this.bytes = bytes;
    this.#buffers = buffers;
    this.#context = context;
    this.#release = release;
    const words = context.memory.i32(records, RECORD_BYTES / 4 * steps.length);
    const writer = new RecordWriter(words, records);
    this.#segments = segmentsOf(plan).map((segment) => {
      const { from, to } = segment;
      const here = steps.filter(({ dispatch }) =>
        from <= dispatch && dispatch < to
      );
      const groups = Map.groupBy(here, ({ fills }) => fills?.buffer);
      const preparations: Preparation[] = [];
      for (const [index, group] of groups) {
        if (index === undefined) continue;
        const [store, stretch] = [buffers[index]!, writer.write(group)];
        const copies = group.map(({ fills }) => copyOf(fills!));
        preparations.push({ store, copies, stretch });
      }
      const stretch = writer.write(groups.get(undefined) ?? []);
      return { segment, preparations, stretch };
    });
    this.#counts = plan.dispatches.map((_, index) =>
      steps.filter(({ dispatch, fills }) =>
        dispatch === index && fills === undefined
      ).length
    );
  }

  buffer(name: string): DeviceBuffer {
    const buffer = this.#buffers.find(({ spec }) =>
      spec.name === name && spec.kind !== "slot"
    );
    if (buffer) return buffer;
    throw new RangeError(
      `Cannot find buffer ${name}: plan ${this.plan.name} has none that the host can reach`,
    );
  }

  run(phases?: readonly string[]): void {
    this.#checkUsable();
    if (phases === undefined) {
      for (const segment of this.#segments) this.#runSegment(segment);
      return;
    }
    for (const phase of phases) {
      const dispatches = this.plan.phases[phase];
      if (dispatches === undefined) {
        throw new RangeError(
          `Cannot run phase ${phase}: plan ${this.plan.name} has only ${
            Object.keys(this.plan.phases).join(", ")
          }`,
        );
      }
      const [from, to] = dispatches;
      for (const bound of this.#segments) {
        const { segment } = bound;
        if (from <= segment.from && segment.to <= to) this.#runSegment(bound);
      }
    }
  }

  profile(): DispatchTime[] {
    this.#checkUsable();
    const times: DispatchTime[] = [];
    for (const { segment, preparations, stretch } of this.#segments) {
      this.#prepare(preparations);
      let { from } = stretch;
      for (let index = segment.from; index < segment.to; index++) {
        const { kernel, label } = this.plan.dispatches[index]!;
        const to = from + RECORD_BYTES * this.#counts[index]!;
        const begun = performance.now();
        this.#compute({ ...stretch, from, to });
        const nanoseconds = 1e6 * (performance.now() - begun);
        times.push({ kernel, label, nanoseconds });
        from = to;
      }
      this.#changed(segment);
    }
    return times;
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#release();
  }

  #runSegment({ segment, preparations, stretch }: BoundSegment): void {
    this.#prepare(preparations);
    this.#compute(stretch);
    this.#changed(segment);
  }

  #prepare(preparations: readonly Preparation[]): void {
    for (const { store: { version }, copies, stretch } of preparations) {
      const isStale = (copy: ReorderedCopy) => copy.version !== version;
      if (copies.every(isStale)) this.#compute(stretch);
      else {
        copies.forEach((copy, i) => {
          const from = stretch.from + RECORD_BYTES * i;
          const to = from + RECORD_BYTES;
          if (isStale(copy)) this.#compute({ ...stretch, from, to });
        });
      }
      for (const copy of copies) copy.version = version;
    }
  }

  #changed({ changes }: Segment): void {
    for (const index of changes) this.#buffers[index]!.version++;
  }

  #compute({ from, to, parallel }: Stretch): void {
    if (from === to) return;
    this.#context.run(from, to, parallel, `run ${this.plan.name}`);
  }

  #checkUsable(): void {
    const action = `run ${this.plan.name}`;
    this.#context.checkOpen(action);
    if (this.#destroyed) {
      throw new TypeError(`Cannot ${action}: the program was destroyed`);
    }
    for (const buffer of this.#buffers) buffer.checkUsable(action);
  }
}
