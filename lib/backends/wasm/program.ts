/** Plans bound to the wasm engine: their memory, and the records that the threads run. */

import {
  LISTS,
  RECORD_ARGUMENTS,
  RECORD_BYTES,
  RECORD_GRAIN,
  RECORD_KERNEL,
  RECORD_UNITS,
} from "../../../kernels/wasm/codes.ts";
import {
  type Address,
  type BlasTraits,
  MOST_ARGUMENTS,
  type Step,
} from "../../../kernels/wasm/step.ts";
import type { BufferSpec, Plan } from "../../graph/plan.ts";
import {
  type DispatchTime,
  OutOfMemoryError,
  type Stores,
} from "../backend.ts";
import {
  bindProgram,
  BoundProgram,
  bufferBytes,
  type DispatchRange,
  type OpenBackend,
  type ProgramMemory,
} from "../program.ts";
import { type ReorderedCopy, WasmBuffer } from "./buffer.ts";
import { sizeOf, type WasmMemory } from "./memory.ts";
import {
  type CopySpec,
  keyOf,
  type Lists,
  type LoweredPlan,
  lowerPlan,
  type PlacedStep,
  type Segment,
} from "./lowering.ts";
import { Sharing } from "./sharing.ts";
import { refusal } from "../../refusal.ts";

/** The part of the backend that its programs use: see `WasmBackend`. */
interface Engine extends OpenBackend {
  readonly memory: WasmMemory;
  readonly blasTraits: BlasTraits | undefined;
  readonly room: number;
  allocate(spec: BufferSpec): WasmBuffer;
  bytesOfScratch(bytes: number, options: { readonly isEmpty: boolean }): number;
  reserveScratch(bytes: number): void;
  run(from: number, to: number, parallel: boolean, action: string): void;
}

/**
 * Binds a plan; see `Executor.compile`.
 *
 * @throws {RangeError} if the plan needs more memory than there is, or a store of another shape exists;
 *   nothing is left allocated then
 */
export function compileProgram(
  plan: Plan,
  stores: Stores,
  backend: Engine,
): Promise<WasmProgram> {
  return bindProgram(plan, stores, backend, (memory) => {
    const sizes = sizesOf(plan, backend);
    const needed = measurePlans([plan], stores, backend, [sizes]);
    const { room } = backend;
    if (needed > room) {
      throw new OutOfMemoryError(`compile ${plan.name}`, { needed, room });
    }
    const buffers = memory.allocate();
    const allocate = (bytes: number) => {
      const at = backend.memory.allocate(bytes, `workspace of ${plan.name}`);
      memory.own(sizeOf(bytes), () => backend.memory.free(at));
      return at;
    };
    const copies = new Map(sizes.copies.map((spec) => {
      const store = buffers[spec.buffer]!;
      const copy = store.shareCopy(spec.order, spec.bytes);
      memory.own(0, () => store.leaveCopy(spec.order));
      return [keyOf(spec), copy];
    }));
    const copyOf = (spec: CopySpec) => copies.get(keyOf(spec))!;
    const lowered = lowerPlan(plan, {
      buffer: (index) => buffers[index]!.at,
      copy: (spec) => copyOf(spec).at,
      kept: allocate(sizes.keptBytes),
      shared: allocate(sizes.sharedBytes),
      blas: backend.blasTraits,
    });
    backend.reserveScratch(sizes.scratchBytes);
    for (const [at, values] of lowered.constants) {
      backend.memory.f32(at, values.length).set(values);
    }
    const records = allocate(RECORD_BYTES * recordsOf(lowered));
    return new WasmProgram(memory, { backend, copyOf, records, lowered });
  });
}

/** Lowers a plan without addresses, for the sizes of the memory that it needs. */
function sizesOf(plan: Plan, backend: Engine): LoweredPlan {
  const nowhere = () => 0;
  const { blasTraits: blas } = backend;
  return lowerPlan(plan, {
    ...{ buffer: nowhere, copy: nowhere, kept: 0, shared: 0, blas },
  });
}

/**
 * Returns the bytes that compiling all of these plans allocates, together; see `Executor.measure`.
 *
 * @param lowered the plans, lowered
 */
export function measurePlans(
  plans: readonly Plan[],
  stores: Stores | undefined,
  backend: Engine,
  lowered: readonly LoweredPlan[] = plans.map((plan) => sizesOf(plan, backend)),
): number {
  let bytes = bufferBytes(plans, stores, backend);
  let scratch = 0;
  const copies = new Map<string, number>();
  for (const [i, sizes] of lowered.entries()) {
    bytes += sizeOf(sizes.keptBytes) + sizeOf(sizes.sharedBytes) +
      sizeOf(RECORD_BYTES * recordsOf(sizes));
    scratch = Math.max(scratch, sizes.scratchBytes);
    for (const { buffer, order, bytes } of sizes.copies) {
      const { name } = plans[i]!.buffers[buffer]!;
      const store = stores?.get(name);
      if (store instanceof WasmBuffer && store.hasCopy(order)) continue;
      copies.set(`${name} ${order}`, sizeOf(bytes));
    }
  }
  return copies.values().reduce((sum, bytes) => sum + bytes, bytes) +
    backend.bytesOfScratch(scratch, { isEmpty: stores === undefined });
}

/** Returns the records of a plan: one for each step, and one that runs several lists, which are equally long. */
function recordsOf({ segments }: LoweredPlan): number {
  return segments.reduce((count, { fills, pieces }) =>
    pieces.reduce(
      (count, lists) =>
        count +
        (lists.length === 1
          ? lists[0]!.length
          : 1 + lists.length * longestOf(lists)),
      count + fills.length,
    ), 0);
}

/** Returns the number of records of the longest list. */
function longestOf(lists: Lists): number {
  return Math.max(...lists.map(({ length }) => length));
}

/** Records that run in one call. */
interface RecordRange {
  /** Byte address of the first record; `to` is that of the end of the last. */
  readonly from: number;
  to: number;
  readonly sharing: Sharing;
}

/** The records that bring copies of a store up to date. */
interface Preparation {
  readonly store: WasmBuffer;
  readonly copies: readonly ReorderedCopy[];
  /** One record for each copy. */
  readonly records: RecordRange;
}

/** A segment of the plan, ready to run. */
interface BoundSegment {
  readonly segment: Segment;
  readonly preparations: readonly Preparation[];
  readonly records: RecordRange;
}

/** A program on the CPU. */
export class WasmProgram extends BoundProgram<WasmBuffer> {
  readonly #backend: Engine;
  readonly #buffers: readonly WasmBuffer[];
  readonly #segments: readonly BoundSegment[];
  /** The records of each dispatch; with groups of texts, a range for each group. */
  readonly #dispatches: readonly RecordRange[][];

  /** @param parts.records address for the steps' records */
  constructor(
    memory: ProgramMemory<WasmBuffer>,
    { backend, copyOf, records, lowered: { segments } }: {
      readonly backend: Engine;
      readonly copyOf: (spec: CopySpec) => ReorderedCopy;
      readonly records: Address;
      readonly lowered: LoweredPlan;
    },
  ) {
    super(memory);
    this.#backend = backend;
    this.#buffers = memory.buffers;
    this.#dispatches = this.plan.dispatches.map(() => []);
    let end = records;
    const write = (steps: readonly Step[]): RecordRange => {
      const from = end;
      for (const step of steps) {
        writeRecord(backend.memory.i32(end, RECORD_BYTES / 4), step);
        end += RECORD_BYTES;
      }
      const work = steps.reduce((sum, { work }) => sum + work, 0);
      const sharing = new Sharing({ work, steps: steps.length });
      return { from, to: end, sharing };
    };
    /** Notes the records of each dispatch. */
    const note = (placed: readonly PlacedStep[], first: Address) => {
      for (const [i, { dispatch, step: { work } }] of placed.entries()) {
        const from = first + RECORD_BYTES * i;
        const to = from + RECORD_BYTES;
        const ranges = this.#dispatches[dispatch]!;
        const last = ranges.at(-1);
        if (last?.to === from) last.to = to;
        else {
          const sharing = new Sharing({ work, steps: 1 });
          ranges.push({ from, to, sharing });
        }
      }
    };
    const stepsOf = (placed: readonly PlacedStep[]) =>
      placed.map(({ step }) => step);
    /** Writes lists of records, and returns the step that runs them. */
    const writeLists = (lists: Lists): Step => {
      const first = end;
      const bytes = RECORD_BYTES * longestOf(lists);
      for (const list of lists) {
        const next = end + bytes;
        note(list, write(stepsOf(list)).from);
        end = next;
      }
      const work = lists.flat().reduce((sum, { step }) => sum + step.work, 0);
      return { kernel: LISTS, units: lists.length, args: [first, bytes], work };
    };
    this.#segments = segments.map(({ segment, fills, pieces }) => {
      const preparations: Preparation[] = [];
      for (
        const [index, group] of Map.groupBy(fills, ({ fills }) => fills.buffer)
      ) {
        const copies = group.map(({ fills }) => copyOf(fills));
        const store = this.#buffers[index]!;
        preparations.push({ store, copies, records: write(stepsOf(group)) });
      }
      // Lists come first, so that the records of the pieces follow one another.
      const runs = pieces.map((lists) =>
        lists.length === 1 ? stepsOf(lists[0]!) : [writeLists(lists)]
      );
      const records = write(runs.flat());
      let { from } = records;
      for (const [i, { length }] of runs.entries()) {
        if (pieces[i]!.length === 1) note(pieces[i]![0]!, from);
        from += RECORD_BYTES * length;
      }
      return { segment, preparations, records };
    });
  }

  /** Runs the plan once, dispatch by dispatch, and returns the time of each in the order they ran. */
  profile(): DispatchTime[] {
    this.checkUsable("profile");
    const times: DispatchTime[] = [];
    for (const { segment, preparations } of this.#segments) {
      this.#prepare(preparations);
      for (let index = segment.from; index < segment.to; index++) {
        const { kernel, label } = this.plan.dispatches[index]!;
        const begun = performance.now();
        for (const range of this.#dispatches[index]!) this.#compute(range);
        const nanoseconds = 1e6 * (performance.now() - begun);
        times.push({ kernel, label, nanoseconds });
      }
      this.#changed(segment);
    }
    return times;
  }

  protected runRanges(ranges: readonly DispatchRange[]): void {
    for (const [from, to] of ranges) {
      for (const bound of this.#segments) {
        const { segment } = bound;
        if (from <= segment.from && segment.to <= to) this.#runSegment(bound);
      }
    }
  }

  #runSegment({ segment, preparations, records }: BoundSegment): void {
    this.#prepare(preparations);
    this.#compute(records);
    this.#changed(segment);
  }

  #prepare(preparations: readonly Preparation[]): void {
    for (const { store: { version }, copies, records } of preparations) {
      const isStale = (copy: ReorderedCopy) => copy.version !== version;
      if (copies.every(isStale)) this.#compute(records);
      else {
        copies.forEach((copy, i) => {
          const from = records.from + RECORD_BYTES * i;
          const to = from + RECORD_BYTES;
          if (isStale(copy)) this.#compute({ ...records, from, to });
        });
      }
      for (const copy of copies) copy.version = version;
    }
  }

  #changed({ changes }: Segment): void {
    for (const index of changes) this.#buffers[index]!.version++;
  }

  #compute({ from, to, sharing }: RecordRange): void {
    if (from === to) return;
    const action = `run ${this.plan.name}`;
    sharing.run((isShared) => this.#backend.run(from, to, isShared, action));
  }
}

/** Writes a step as a record. */
function writeRecord(
  words: Int32Array,
  { kernel, units, grain = 1, args }: Step,
): void {
  if (args.length > MOST_ARGUMENTS) {
    throw refusal(
      RangeError,
      "make a record",
      `kernel ${kernel} has ${args.length} arguments, more than ${MOST_ARGUMENTS}`,
    );
  }
  words[RECORD_KERNEL / 4] = kernel;
  words[RECORD_UNITS / 4] = units;
  words[RECORD_GRAIN / 4] = grain;
  words.set(args, RECORD_ARGUMENTS / 4);
}
