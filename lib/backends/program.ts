/**
 * The part that all backends share: closing a backend, creating the buffers of a
 * plan, and finding a buffer, running a phase and destroying a program. Each backend
 * adds its own allocation of memory and its own way to run dispatches.
 */

import type { BufferSpec, Plan } from "../graph/plan.ts";
import {
  type Backend,
  type BackendKind,
  type DeviceBuffer,
  DeviceLostError,
  type Executor,
  type Program,
  type Stores,
} from "./backend.ts";
import { BoundBuffer } from "./buffer.ts";
import { checkPlan } from "./checks.ts";
import { checkHalves } from "./halves.ts";
import { refusal } from "../refusal.ts";

/** The base class of backends. By default, work is done when the call that starts it returns. */
export abstract class OpenBackend implements Executor {
  abstract readonly kind: BackendKind;
  abstract readonly description: string;
  abstract readonly allocatedBytes: number;
  abstract readonly room: number | undefined;
  readonly blas: Backend["blas"] = undefined;
  readonly halves: boolean = false;
  /** The reason why the device is lost; undefined while it is not. */
  protected abstract readonly lost: string | undefined;
  #closing: Promise<void> | undefined;

  abstract compile(plan: Plan, stores: Stores): Promise<Program>;
  abstract measure(plans: readonly Plan[], stores?: Stores): number;

  /** Makes a buffer, filled with zeros. */
  abstract allocate(spec: BufferSpec): BoundBuffer;

  /** Returns the bytes that a buffer with this spec takes. */
  abstract bytesOf(spec: BufferSpec): number;

  /** Frees everything on the backend. Called once. */
  protected abstract close(): Promise<void>;

  // deno-lint-ignore require-await
  async createStore(spec: BufferSpec): Promise<DeviceBuffer> {
    this.checkOpen(`allocate ${spec.name}`);
    return this.allocate(spec);
  }

  // deno-lint-ignore require-await
  async finish(): Promise<void> {
    this.checkOpen("finish");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing ??= this.close();
  }

  /**
   * Throws if the backend was disposed or its device is lost.
   *
   * @param action the requested operation, e.g. `run train`
   */
  checkOpen(action: string): void {
    if (this.#closing) {
      throw refusal(DeviceLostError, action, "the backend was disposed");
    }
    this.checkAlive(action);
  }

  /** Throws if the device is lost. Does not throw on a backend that is closing, where work in flight may still finish. */
  protected checkAlive(action: string): void {
    const { lost } = this;
    if (lost !== undefined) {
      throw refusal(DeviceLostError, action, lost);
    }
  }
}

/** A backend whose buffers have type `Own`. */
type BackendOf<Own extends BoundBuffer> =
  & Pick<
    OpenBackend,
    "bytesOf" | "checkOpen" | "halves" | "description"
  >
  & { allocate(spec: BufferSpec): Own };

/**
 * Returns the bytes that the buffers of plans take: the buffers of each plan alone, and each missing store once.
 *
 * @param stores the stores that already exist; if left out, none
 * @throws {RangeError} if a plan has operands of float16, and the backend takes none
 */
export function bufferBytes(
  plans: readonly Plan[],
  stores: Stores | undefined,
  backend: Pick<OpenBackend, "bytesOf" | "halves" | "description">,
): number {
  for (const plan of plans) checkHalves(plan, backend);
  const missing = new Map<string, number>();
  let own = 0;
  for (const spec of plans.flatMap(({ buffers }) => buffers)) {
    const bytes = backend.bytesOf(spec);
    if (spec.kind !== "store") own += bytes;
    else if (!stores?.has(spec.name)) missing.set(spec.name, bytes);
  }
  return missing.values().reduce((sum, bytes) => sum + bytes, own);
}

/** The buffers and other memory of a program. */
export class ProgramMemory<Own extends BoundBuffer> {
  /** Buffers in the order of {@linkcode Plan.buffers}; empty before {@linkcode ProgramMemory.allocate}. */
  readonly buffers: Own[] = [];
  /** Bytes of memory that belong to the program alone. */
  bytes = 0;
  readonly plan: Plan;
  readonly backend: BackendOf<Own>;
  readonly #stores: Stores;
  /** Stores that this program created. */
  readonly #made: Own[] = [];
  readonly #frees: (() => void)[] = [];

  constructor(plan: Plan, stores: Stores, backend: BackendOf<Own>) {
    this.plan = plan;
    this.backend = backend;
    this.#stores = stores;
  }

  /**
   * Creates the plan's buffers and its missing stores.
   *
   * @throws {TypeError} if a store was destroyed or belongs to another backend
   * @throws {RangeError} if a store has another length or dtype
   */
  allocate(): readonly Own[] {
    const { plan: { buffers }, backend } = this;
    const stores = buffers.map((spec) =>
      spec.kind === "store" ? this.#knownStore(spec) : undefined
    );
    for (const [i, spec] of buffers.entries()) {
      const buffer = stores[i] ?? backend.allocate(spec);
      this.buffers.push(buffer);
      if (spec.kind !== "store") {
        this.own(backend.bytesOf(spec), () => buffer.destroy());
      } else if (!stores[i]) {
        this.#stores.set(spec.name, buffer);
        this.#made.push(buffer);
      }
    }
    return this.buffers;
  }

  /** Adds memory of this many bytes to the program; {@linkcode ProgramMemory.release} calls `free` to free it. */
  own(bytes: number, free: () => void): void {
    this.bytes += bytes;
    this.#frees.push(free);
  }

  /** Frees the memory that belongs to the program alone. */
  release(): void {
    for (const free of this.#frees.splice(0)) free();
  }

  /** Frees the memory that belongs to the program alone, and the stores that this program created. */
  undo(): void {
    this.release();
    for (const store of this.#made) {
      this.#stores.delete(store.spec.name);
      store.destroy();
    }
  }

  #knownStore({ name, dtype, length }: BufferSpec): Own | undefined {
    const known = this.#stores.get(name);
    if (known === undefined) return undefined;
    const action = `use store ${name}`;
    if (!(known instanceof BoundBuffer) || known.backend !== this.backend) {
      throw refusal(TypeError, action, "it belongs to another backend");
    }
    known.checkUsable(action);
    const { spec } = known;
    if (spec.dtype === dtype && spec.length === length) return known as Own;
    throw refusal(
      RangeError,
      action,
      `it holds ${spec.length} ${spec.dtype} and the plan wants ${length} ${dtype}`,
    );
  }
}

/**
 * Checks a plan and makes its program; see `Executor.compile`. If `make` throws, frees all memory and stores that it allocated.
 *
 * @throws {RangeError} if the plan does not follow the vocabulary, or has operands of float16 and the backend takes none
 */
export async function bindProgram<Own extends BoundBuffer, Made>(
  plan: Plan,
  stores: Stores,
  backend: BackendOf<Own>,
  make: (memory: ProgramMemory<Own>) => Made | Promise<Made>,
): Promise<Made> {
  backend.checkOpen(`compile ${plan.name}`);
  checkPlan(plan);
  checkHalves(plan, backend);
  const memory = new ProgramMemory(plan, stores, backend);
  try {
    return await make(memory);
  } catch (error) {
    memory.undo();
    throw error;
  }
}

/** The range [from, to) of a plan's dispatches. */
export type DispatchRange = Plan["phases"][string];

/** A {@linkcode Program} of one backend. */
export abstract class BoundProgram<Own extends BoundBuffer> implements Program {
  readonly plan: Plan;
  readonly bytes: number;
  readonly #memory: ProgramMemory<Own>;
  readonly #named: ReadonlyMap<string, Own>;
  #destroyed = false;

  /** @param memory the program's memory, already allocated */
  constructor(memory: ProgramMemory<Own>) {
    this.plan = memory.plan;
    this.bytes = memory.bytes;
    this.#memory = memory;
    this.#named = new Map(
      memory.buffers.filter(({ spec }) => spec.kind !== "slot")
        .map((buffer) => [buffer.spec.name, buffer]),
    );
  }

  buffer(name: string): DeviceBuffer {
    return this.#named.get(name) ??
      this.#refuse(`find buffer ${name}`, [...this.#named.keys()]);
  }

  run(phases?: readonly string[]): void {
    this.checkUsable("run");
    const { dispatches, phases: known } = this.plan;
    this.runRanges(
      phases?.map((phase) =>
        known[phase] ?? this.#refuse(`run phase ${phase}`, Object.keys(known))
      ) ?? [[0, dispatches.length]],
    );
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#memory.release();
  }

  /** Runs these dispatches, in this order, as one submission. */
  protected abstract runRanges(ranges: readonly DispatchRange[]): void;

  /** Throws if the backend was disposed, its device is lost, or the program or one of its buffers was destroyed. */
  protected checkUsable(verb: "run" | "profile"): void {
    const action = `${verb} ${this.plan.name}`;
    this.#memory.backend.checkOpen(action);
    if (this.#destroyed) {
      throw refusal(TypeError, action, "the program was destroyed");
    }
    for (const buffer of this.#memory.buffers) buffer.checkUsable(action);
  }

  #refuse(action: string, names: readonly string[]): never {
    throw refusal(
      RangeError,
      action,
      `plan ${this.plan.name} has ${names.join(", ") || "none"}`,
    );
  }
}
