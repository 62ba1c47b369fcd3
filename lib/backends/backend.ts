/**
 * The interface of an executor of plans. A backend is not an array library: it
 * allocates buffers, compiles a plan once, and runs it many times.
 *
 * Calls that start work return at once, or when it is done where the caller's thread
 * does it; the order of calls is the order of effects. Only `read` waits.
 */

import type { KernelName } from "../../kernels/vocabulary.ts";
import type { BufferSpec, Plan } from "../graph/plan.ts";

/** The engines that can execute a plan. */
export type BackendKind = "webgpu" | "wasm" | "reference";

/** Numbers as a backend holds them: `f32` in 32 bits (64 on the reference), `i32` in 32 bits. */
export type Numbers = Float32Array | Float64Array | Int32Array;

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
   * The elements [offset, offset + length) as they are after every run submitted so far.
   *
   * @throws {RangeError} if they are not inside the buffer
   * @throws {DeviceLostError} if the device is gone
   */
  read(offset?: number, length?: number): Promise<Numbers>;
  /** The numbers as they are now, to look at, where they lie in the host's own memory: not on a GPU. */
  readonly memory?: Numbers;
  /** Frees a store that no program will use again (a finished text's cache). Other kinds belong to their program. */
  destroy(): void;
}

/** Buffers that several programs share, by name. New ones are filled with zeros. */
export type Stores = Map<string, DeviceBuffer>;

/** A plan bound to a backend, ready to run. */
export interface Program {
  readonly plan: Plan;
  /** Bytes that belong to this program alone. */
  readonly bytes: number;
  /**
   * A buffer of kind `input`, `output` or `store`.
   *
   * @throws {RangeError} if the plan has no such buffer
   */
  buffer(name: string): DeviceBuffer;
  /** Queues one run: the whole plan, or the named phases in the given order, as one submission. */
  run(phases?: readonly string[]): void;
  /** Frees what belongs to this program alone. Stores live on. */
  destroy(): void;
}

/** How long one dispatch took. */
export interface DispatchTime {
  readonly label: string;
  readonly kernel: KernelName;
  readonly nanoseconds: number;
}

/** A compute device that is open. Disposing it frees every buffer and program on it. */
export interface Backend extends AsyncDisposable {
  /** Which engine it is. */
  readonly kind: BackendKind;
  /** One line for people: the adapter, or the number of threads. */
  readonly description: string;
  /** Bytes allocated on the device at present. */
  readonly allocatedBytes: number;
  /** Bytes that can be allocated besides, if the device says. */
  readonly room: number | undefined;
  /** Resolves when all submitted work is done. */
  finish(): Promise<void>;
}

/** A {@linkcode Backend} as the library uses it: each one is. */
export interface Executor extends Backend {
  /**
   * Makes a store, filled with zeros.
   *
   * @throws {OutOfMemoryError} if there is no room for it
   */
  createStore(spec: BufferSpec): Promise<DeviceBuffer>;
  /**
   * Binds a plan. Stores that the plan names are taken from `stores`; missing ones are created and added.
   *
   * @throws {OutOfMemoryError} if there is no room for it; nothing is left allocated then
   * @throws {RangeError} if a store of that name has another length or dtype
   */
  compile(plan: Plan, stores: Stores): Promise<Program>;
  /**
   * Returns the bytes that compiling plans allocates, all of them together.
   *
   * @param stores what there is already of what they share; if left out, nothing is allocated yet
   * @throws {RangeError} if the device cannot run one of them, however much memory there is
   */
  measure(plans: readonly Plan[], stores?: Stores): number;
}

/**
 * Returns a backend as the executor that it is.
 *
 * @throws {TypeError} if it is none: `openBackend` did not make it
 */
export function executorOf(backend: Backend): Executor {
  if ("compile" in backend && "createStore" in backend) {
    return backend as Executor;
  }
  throw new TypeError(
    "Cannot use backend: it can run no plans\nhint: open it with openBackend",
  );
}

/** The device went away (driver reset, unplugged, out of memory). What was on it is gone. */
export class DeviceLostError extends Error {
  /** The name of the class. */
  override readonly name = "DeviceLostError";
}

/** What is to be computed takes more memory than the device has. */
export class OutOfMemoryError extends RangeError {
  /** The name of the class. */
  override readonly name = "OutOfMemoryError";
  /** Bytes that it takes. */
  readonly needed: number;
  /** Bytes that there are for it, if the device says. */
  readonly room: number | undefined;
  /** What cannot be done. */
  readonly action: string;
  /** The message after the action. */
  readonly reason: string;
  /** The configuration fields that the action names. */
  readonly fields: readonly string[];

  /**
   * Makes the error.
   *
   * @param action what cannot be done, e.g. `compile train`
   * @param sizes.needed bytes that it takes
   * @param sizes.room bytes that there are for it, if the device says
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

/** Puts bytes that are needed into words, `4.30 GB`; rounded up, as {@linkcode roomText} rounds down, so that the two differ. */
export function needText(bytes: number): string {
  return gigabytes(bytes, Math.ceil);
}

/** Puts bytes that are free into words, `4.29 GB`. */
export function roomText(bytes: number): string {
  return gigabytes(bytes, Math.floor);
}

function gigabytes(bytes: number, round: (value: number) => number): string {
  return bytes < 1e8
    ? `${(round(bytes / 1e4) / 100).toFixed(2)} MB`
    : `${(round(bytes / 1e7) / 100).toFixed(2)} GB`;
}

/** There is no WebGPU adapter of the kind asked for. */
export class NoAdapterError extends Error {
  /** The name of the class. */
  override readonly name = "NoAdapterError";
  /** What may help, as a sentence. */
  readonly hint: string;
  /** Returns the hint with devices called as the program calls them. */
  readonly hintFor: (device: (name: string) => string) => string;

  /**
   * Makes the error.
   *
   * @param hintFor what may help, given what a device is called: a sentence, which may begin with that
   */
  constructor(message: string, hintFor: NoAdapterError["hintFor"]) {
    super(message);
    const hint = hintFor((name) => `the device "${name}"`);
    this.hint = hint.replace(/^t/, "T");
    this.hintFor = hintFor;
  }
}
