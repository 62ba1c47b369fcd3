/**
 * The interface of an executor of plans. A backend is not an array library: it
 * allocates buffers, compiles a plan once, and runs it many times.
 *
 * Calls that start work return at once, or when it is done where the caller's thread
 * does it; the order of calls is the order of effects. Only `read` waits.
 */

import type { KernelName } from "../../kernels/vocabulary.ts";
import type { BufferSpec, Plan } from "../graph/plan.ts";
import { type Refusal, refusal } from "../refusal.ts";

/** The engines that can execute a plan. */
export type BackendKind = "webgpu" | "wasm" | "reference";

/**
 * Names of variants by the name of the product, for each adapter by its name, e.g.
 * `{ "NVIDIA H200": { "nn 2048x128x512": "64x64 in 1, unrolled 4" } }`; `bench/tune.ts` makes them.
 * Another variant may add up a product in another order, so its results differ by rounding.
 */
export type ProductTables = Readonly<
  Record<string, Readonly<Record<string, string>>>
>;

/** Elements of a buffer in host memory: `f32` in 32 bits (64 on the reference), `i32` in 32 bits. */
export type Numbers = Float32Array | Float64Array | Int32Array;

/** Elements of one buffer that go to another one. */
export interface CopiedRange {
  /** First element in the source. */
  readonly from: number;
  /** First element in the target. */
  readonly to: number;
  readonly length: number;
}

/** Memory on the device. */
export interface DeviceBuffer {
  readonly spec: BufferSpec;
  /**
   * Copies `data` to the elements from `offset` on, before any run submitted later.
   *
   * @throws {RangeError} if it does not fit
   */
  write(data: ArrayLike<number>, offset?: number): void;
  /**
   * Returns a copy of the elements [offset, offset + length) as they are after every run submitted so far.
   *
   * @throws {RangeError} if they are not inside the buffer
   * @throws {DeviceLostError} if the device is gone
   */
  read(offset?: number, length?: number): Promise<Numbers>;
  /**
   * Copies elements of another buffer of the same backend, as they are after every run submitted so far, before any run
   * submitted later.
   *
   * @throws {RangeError} if they are not inside their buffers
   */
  copy(source: DeviceBuffer, range: CopiedRange): void;
  /** A view of the elements as they are now, for reading; undefined where they are not in host memory (on a GPU). */
  readonly memory?: Numbers;
  /** Frees a store that no program will use again (the cache of a finished text). Buffers of other kinds belong to their program, which frees them. */
  destroy(): void;
}

/** Buffers that several programs share, by name. New ones are filled with zeros. */
export type Stores = Map<string, DeviceBuffer>;

/** A plan bound to a backend, ready to run. */
export interface Program {
  readonly plan: Plan;
  /** Bytes of device memory that belong to this program alone. */
  readonly bytes: number;
  /**
   * Returns the buffer of kind `input`, `output` or `store` with this name.
   *
   * @throws {RangeError} if the plan has no such buffer
   */
  buffer(name: string): DeviceBuffer;
  /** Queues one run: the whole plan, or the named phases in the given order, as one submission. */
  run(phases?: readonly string[]): void;
  /** Frees the memory that belongs to this program alone. Stores stay allocated. */
  destroy(): void;
}

/** The measured time of one dispatch. */
export interface DispatchTime {
  readonly label: string;
  readonly kernel: KernelName;
  readonly nanoseconds: number;
}

/** An open compute device. Disposing it frees every buffer and program on it. */
export interface Backend extends AsyncDisposable {
  /** The engine that executes plans. */
  readonly kind: BackendKind;
  /** One line for people to read: the adapter, or the number of threads. */
  readonly description: string;
  /** The native library that multiplies matrices for the CPU engine; undefined if the engine does it by itself, and on other devices. */
  readonly blas: { readonly name: string; readonly path: string } | undefined;
  /** Bytes currently allocated on the device. */
  readonly allocatedBytes: number;
  /** Bytes that can still be allocated; undefined if the device does not report it. */
  readonly room: number | undefined;
  /** Resolves when all submitted work is done. */
  finish(): Promise<void>;
}

/** The interface of a {@linkcode Backend} that the library itself uses. Every backend implements it. */
export interface Executor extends Backend {
  /** True if a plan may have operands of float16. */
  readonly halves: boolean;
  /**
   * Makes a store, filled with zeros.
   *
   * @throws {OutOfMemoryError} if there is no room for it
   */
  createStore(spec: BufferSpec): Promise<DeviceBuffer>;
  /**
   * Binds a plan to this backend. Takes the stores that the plan names from `stores`; creates the missing ones and adds them there.
   *
   * @throws {OutOfMemoryError} if there is no room for it; nothing is left allocated then
   * @throws {RangeError} if a store of that name has another length or dtype
   */
  compile(plan: Plan, stores: Stores): Promise<Program>;
  /**
   * Returns the bytes that compiling all of these plans allocates, together.
   *
   * @param stores the shared stores that already exist; if left out, nothing is allocated yet
   * @throws {RangeError} if the device cannot run one of the plans, however much memory is free
   */
  measure(plans: readonly Plan[], stores?: Stores): number;
}

/**
 * Returns `backend` itself, typed as an executor.
 *
 * @throws {TypeError} if it is not an executor, because `openBackend` did not make it
 */
export function executorOf(backend: Backend): Executor {
  if ("compile" in backend && "createStore" in backend) {
    return backend as Executor;
  }
  throw refusal(TypeError, "use backend", "it can run no plans", {
    hint: "open it with openBackend",
  });
}

/** Thrown when the device was lost (driver reset, unplugged, out of memory). The contents of its buffers are lost, too. */
export class DeviceLostError extends Error {
  /** The name of the class. */
  override readonly name = "DeviceLostError";
}

/** Thrown when an operation needs more memory than the device has. */
export class OutOfMemoryError extends RangeError implements Refusal {
  /** The name of the class. */
  override readonly name = "OutOfMemoryError";
  /** Bytes that the operation needs. */
  readonly needed: number;
  /** Bytes that are free; undefined if the device does not report it. */
  readonly room: number | undefined;
  /** The operation that failed, e.g. `compile train`. */
  readonly action: string;
  /** The part of the message after the action. */
  readonly reason: string;
  /** Undefined: no advice holds for all devices. */
  readonly hint: string | undefined = undefined;
  /** The configuration fields that the action names. */
  readonly fields: readonly string[];

  /**
   * Makes the error.
   *
   * @param action the operation that failed, e.g. `compile train`
   * @param sizes.needed bytes that the operation needs
   * @param sizes.room bytes that are free; undefined if the device does not report it
   * @param fields configuration fields that the action names
   */
  constructor(
    action: string,
    { needed, room }: {
      readonly needed: number;
      readonly room: number | undefined;
    },
    fields: readonly string[] = [],
  ) {
    const free = room === undefined
      ? "more than the device has"
      : `${roomText(room)} are free`;
    const reason = `it needs ${needText(needed)}, ${free}`;
    super(`Cannot ${action}: ${reason}`);
    this.action = action;
    this.reason = reason;
    this.fields = fields;
    this.needed = needed;
    this.room = room;
  }
}

/** Formats a number of needed bytes, e.g. `4.30 GB`. Rounds up, while {@linkcode roomText} rounds down, so that the two texts differ. */
export function needText(bytes: number): string {
  return gigabytes(bytes, Math.ceil);
}

/** Formats a number of free bytes, e.g. `4.29 GB`. Rounds down. */
export function roomText(bytes: number): string {
  return gigabytes(bytes, Math.floor);
}

function gigabytes(bytes: number, round: (value: number) => number): string {
  return bytes < 1e8
    ? `${(round(bytes / 1e4) / 100).toFixed(2)} MB`
    : `${(round(bytes / 1e7) / 100).toFixed(2)} GB`;
}

/** Thrown when there is no WebGPU adapter of the requested kind. */
export class NoAdapterError extends Error implements Refusal {
  /** The name of the class. */
  override readonly name = "NoAdapterError";
  /** The action that failed, e.g. `open WebGPU`. */
  readonly action: string;
  /** The part of the message after the action. */
  readonly reason: string;
  /** A sentence that says what may help. */
  readonly hint: string;
  /** Configuration fields that the action names: none. */
  readonly fields: readonly string[] = [];
  /** Returns the hint, with each device named by `device`: a command and the library name devices differently. */
  readonly hintFor: (device: (name: string) => string) => string;

  /**
   * Makes the error.
   *
   * @param action what could not be opened, e.g. `open WebGPU`
   * @param reason why not
   * @param hintFor returns a sentence that says what may help, given the function that names a device; the sentence may begin with that name
   */
  constructor(
    action: string,
    reason: string,
    hintFor: NoAdapterError["hintFor"],
  ) {
    super(`Cannot ${action}: ${reason}`);
    this.action = action;
    this.reason = reason;
    const hint = hintFor((name) => `the device "${name}"`);
    this.hint = hint.replace(/^t/, "T");
    this.hintFor = hintFor;
  }
}
