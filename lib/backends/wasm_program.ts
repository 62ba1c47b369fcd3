/** A plan bound to the wasm engine: its memory, and the records that the threads walk through. */

import { RECORD_BYTES } from "../../kernels/wasm/codes.ts";
import type { BufferSpec, Plan } from "../graph/plan.ts";
import {
  type DeviceBuffer,
  type DispatchTime,
  OutOfMemoryError,
  type Program,
  type Stores,
} from "./backend.ts";
import { knownStore } from "./checks.ts";
import { checkOperands } from "./reference/operands.ts";
import { WasmBuffer } from "./wasm_buffer.ts";
import type { WasmContext } from "./wasm_context.ts";
import { sizeOf } from "./wasm_memory.ts";
import {
  type Lowering,
  lowerPlan,
  type PlacedStep,
  type Segment,
  segmentsOf,
  writeRecord,
} from "./wasm_lowering.ts";

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
  const dtypes = plan.buffers.map(({ dtype }) => dtype);
  for (const dispatch of plan.dispatches) checkOperands(dispatch, dtypes);
  const shared = plan.buffers.map((spec) =>
    spec.kind === "store" ? sharedStore(spec, stores, context) : undefined
  );
  const sizes = lowerPlan(plan, plan.buffers.map(() => 0), {
    kept: 0,
    shared: 0,
  });
  const recordBytes = RECORD_BYTES * sizes.steps.length;
  checkRoom(plan, { shared, sizes, recordBytes, context });
  const allocated: number[] = [];
  const own: WasmBuffer[] = [];
  const added: WasmBuffer[] = [];
  const allocate = (bytes: number) => {
    const at = context.memory.allocate(bytes, `workspace of ${plan.name}`);
    allocated.push(at);
    return at;
  };
  const release = () => {
    for (const buffer of own) buffer.destroy();
    for (const at of allocated) context.memory.free(at);
  };
  try {
    const buffers = plan.buffers.map((spec, i) => {
      if (spec.kind === "store") {
        if (shared[i]) return shared[i];
        const store = new WasmBuffer(spec, context);
        stores.set(spec.name, store);
        added.push(store);
        return store;
      }
      const buffer = new WasmBuffer(spec, context);
      own.push(buffer);
      return buffer;
    });
    const kept = allocate(sizes.keptBytes);
    const workspace = { kept, shared: allocate(sizes.sharedBytes) };
    const addresses = buffers.map(({ at }) => at);
    const { steps, constants } = lowerPlan(plan, addresses, workspace);
    context.reserveScratch(sizes.scratchBytes);
    for (const [at, values] of constants) {
      context.memory.f32(at, values.length).set(values);
    }
    const records = allocate(recordBytes);
    const bytes = [
      ...own.map(({ spec }) => 4 * spec.length),
      sizes.keptBytes,
      sizes.sharedBytes,
      recordBytes,
    ].reduce((sum, bytes) => sum + sizeOf(bytes), 0);
    return new BoundProgram(plan, {
      buffers,
      context,
      bytes,
      release,
      records,
      steps,
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

/** Refuses a plan that cannot fit, before anything is allocated for it. */
function checkRoom(
  plan: Plan,
  { shared, sizes, recordBytes, context }: {
    shared: readonly (WasmBuffer | undefined)[];
    sizes: Lowering;
    recordBytes: number;
    context: WasmContext;
  },
): void {
  const missing = plan.buffers.filter((_, i) => shared[i] === undefined);
  const own = missing.reduce((sum, { length }) => sum + 4 * length, 0);
  const bytes = own + sizes.keptBytes + sizes.sharedBytes +
    sizes.scratchBytes * context.threads + recordBytes;
  const { room } = context.memory;
  if (bytes <= room) return;
  throw new OutOfMemoryError(`compile ${plan.name}`, { needed: bytes, room });
}

/** Records that are run in one go. */
interface Stretch {
  /** Byte address of the first record, and of the end. */
  readonly from: number;
  readonly to: number;
  /** Whether it is worth waking the workers. */
  readonly parallel: boolean;
}

/** Reorders the content of a store. */
interface Preparation {
  readonly store: WasmBuffer;
  readonly stretch: Stretch;
  /** The version of the store that was last reordered. */
  version: number;
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
    { buffers, context, bytes, release, records, steps }: {
      buffers: readonly WasmBuffer[];
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
      const groups = Map.groupBy(here, ({ prepares }) => prepares);
      const preparations: Preparation[] = [];
      for (const [index, group] of groups) {
        if (index === undefined) continue;
        const [store, stretch] = [buffers[index]!, writer.write(group)];
        preparations.push({ store, stretch, version: -1 });
      }
      const stretch = writer.write(groups.get(undefined) ?? []);
      return { segment, preparations, stretch };
    });
    this.#counts = plan.dispatches.map((_, index) =>
      steps.filter(({ dispatch, prepares }) =>
        dispatch === index && prepares === undefined
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
    for (const preparation of preparations) {
      const { store: { version }, stretch } = preparation;
      if (preparation.version === version) continue;
      this.#compute(stretch);
      preparation.version = version;
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
