/**
 * The wasm backend: executes plans on the CPU, with SIMD and with a thread for each
 * core, on any machine and with nothing installed. The kernels are in `kernels/wasm/`.
 *
 * The calling thread computes too: `Program.run` returns when the work is done.
 */

import {
  CONTROL_MAY_SLEEP,
  CONTROL_SCRATCH,
  CONTROL_SCRATCH_BYTES,
  CONTROL_SPINS,
  HEAP,
} from "../../../kernels/wasm/codes.ts";
import type { BlasTraits } from "../../../kernels/wasm/step.ts";
import type { BufferSpec, Plan } from "../../graph/plan.ts";
import type { Backend, Stores } from "../backend.ts";
import { OpenBackend } from "../program.ts";
import { findBlas, type FoundBlas } from "./blas/find.ts";
import type { BlasOpening } from "./blas/open.ts";
import { WasmBuffer } from "./buffer.ts";
import { align, sizeOf, WasmMemory } from "./memory.ts";
import { loadModule, type WasmBuild } from "./module.ts";
import { compileProgram, measurePlans, type WasmProgram } from "./program.ts";
import { WasmWorkers } from "./workers.ts";
import { checkWithin, positive } from "../../range.ts";

/** Options of {@linkcode openWasm}. */
export interface WasmOptions {
  /** Threads that compute, including the caller's, from 1 to 256; by default one for each core. */
  readonly threads?: number | undefined;
  /** The build of the kernels; by default the fastest that the runtime supports. */
  readonly build?: WasmBuild | undefined;
  /** True to share memory between threads; by default true where the runtime allows it. Without shared memory there is one thread. */
  readonly shared?: boolean | undefined;
  /** The BLAS that multiplies matrices: `auto` for the machine's own, the path of a library, or `off` for none; by default `off`. */
  readonly blas?: string | undefined;
  /** The maximum size of the engine's memory, in pages of 64 KiB; by default as many as the runtime grants, at most 65536. */
  readonly pages?: number | undefined;
}

/**
 * Maximum memory sizes to request, in pages of 64 KiB, in order: each is tried if the runtime refuses the one before. From
 * 4 GiB down to 256 MiB; phones grant little shared memory.
 */
const MOST_PAGES = [65536, 32768, 16384, 8192, 4096];
/**
 * Reads of a word by a waiting thread before it sleeps: about 60 µs, as long as it takes to wake a thread on a virtual
 * machine, so that waiting costs at most twice the least; and about 2 µs.
 */
const SPINS = 40_000;
const FEWEST_SPINS = 1_000;
/** Initial memory size, in pages of 64 KiB. */
const FEWEST_PAGES = 16;

/**
 * Opens the wasm backend. Dispose of it when done: its threads keep a program alive.
 *
 * @throws {NoAdapterError} if WebAssembly, or its SIMD, is missing
 * @throws {RangeError} if `threads` is not an integer from 1 to 256
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * await using backend = await openWasm({ threads: 2 });
 * const store = await backend.createStore({ name: "m", kind: "store", dtype: "f32", length: 3 });
 * store.write([1.5, 2.5], 1);
 * assertEquals(Array.from(await store.read()), [0, 1.5, 2.5]);
 * ```
 */
export async function openWasm(
  options: WasmOptions = {},
): Promise<WasmBackend> {
  const wanted = options.threads ?? (navigator.hardwareConcurrency || 1);
  checkWithin({ ...positive, most: 256 }, "open device wasm", {
    threads: wanted,
  });
  const shareable = canShare();
  const shared = options.shared ?? shareable;
  const { build, module } = await loadModule({ build: options.build, shared });
  const { blas = "off" } = options;
  const search = blas === "off"
    ? {}
    : findBlas(blas, { threads: wanted, shared });
  const start = async (opening?: BlasOpening) => {
    const { memory, pages } = createMemory(shared, options.pages);
    const count = shared ? wanted - 1 : 0;
    const message = { module, memory, opening };
    return { memory, pages, ...await WasmWorkers.start(count, message) };
  };
  let { found, refusal } = search;
  let started = await start(found?.opening);
  if (found && started.failure !== undefined) {
    // The library may be the reason, in which case there are workers without it.
    found.blas.close();
    found = undefined;
    refusal = started.failure;
    started = await start();
  }
  const { memory, pages, workers, failure } = started;
  const sgemm = found?.blas.on(memory) ?? (() => {});
  const env = { memory, sgemm };
  const { exports } = new WebAssembly.Instance(module, { env });
  const reason = wanted === 1
    ? undefined
    : shared
    ? failure && `no more could be started: ${failure}`
    : shareable
    ? "memory is not shared, as asked"
    : "this runtime shares no memory between threads";
  return new WasmBackend({
    ...{ build, reason, workers, found, refusal },
    exports: exports as unknown as Exports,
    memory: new WasmMemory(memory, pages),
  });
}

/** Returns true if memory can be shared with workers; false on a page without cross-origin isolation. */
function canShare(): boolean {
  return typeof SharedArrayBuffer !== "undefined" &&
    (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated !==
      false;
}

function createMemory(
  shared: boolean,
  most?: number,
): { memory: WebAssembly.Memory; pages: number } {
  let failure: unknown;
  for (const maximum of most === undefined ? MOST_PAGES : [most]) {
    try {
      const limits = { initial: FEWEST_PAGES, maximum, shared };
      return { memory: new WebAssembly.Memory(limits), pages: maximum };
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** Exports of the module; see `kernels/wasm/assembly/run.ts`. */
interface Exports {
  run(from: number, to: number, workers: number): number;
  work(): void;
  fail(): void;
}

/** An executor on the CPU: an instance of the module with its memory and its threads. */
export class WasmBackend extends OpenBackend {
  readonly kind = "wasm";
  readonly description: string;
  /** The build of the kernels that the backend runs. */
  readonly build: WasmBuild;
  readonly memory: WasmMemory;
  override readonly blas: Backend["blas"];
  /** The properties of the BLAS that the threads call; undefined if they call none. */
  readonly blasTraits: BlasTraits | undefined;
  readonly #found: FoundBlas | undefined;
  #exports: Exports | undefined;
  readonly #workers: WasmWorkers;
  #scratchBytes = 0;
  #failure: string | undefined;

  /**
   * @param parts.reason the reason why there are fewer threads than requested
   * @param parts.found the BLAS that the threads call
   * @param parts.refusal the reason why a BLAS is not used
   */
  constructor({ build, reason, workers, exports, memory, found, refusal }: {
    readonly build: WasmBuild;
    readonly reason: string | undefined;
    readonly found: FoundBlas | undefined;
    readonly refusal: string | undefined;
    readonly workers: WasmWorkers;
    readonly exports: Exports;
    readonly memory: WasmMemory;
  }) {
    super();
    this.build = build;
    this.memory = memory;
    this.#exports = exports;
    this.#workers = workers;
    const { threads } = this;
    const team = threads === 1 ? "1 thread" : `${threads} threads`;
    this.#found = found;
    this.blasTraits = found?.traits;
    this.blas = found && { name: found.name, path: found.opening.path };
    const how = this.blas?.name ??
      (build === "relaxed" ? "relaxed SIMD" : "SIMD");
    this.description = `CPU, ${team}${reason ? ` (${reason})` : ""}, ${how}${
      refusal ? ` (no BLAS: ${refusal})` : ""
    }`;
    this.#control(CONTROL_MAY_SLEEP, threads > 1 && maySleep() ? 1 : 0);
    // A thread that waits keeps a core busy. Without a core for each thread, others need it.
    const hasCores = threads <= (navigator.hardwareConcurrency || 1);
    this.#control(CONTROL_SPINS, hasCores ? SPINS : FEWEST_SPINS);
  }

  /** Threads that compute, including the caller's. */
  get threads(): number {
    return this.#workers.count + 1;
  }

  /** Bytes currently allocated, without the threads' scratch memory, which stays allocated until the backend closes. */
  get allocatedBytes(): number {
    return this.memory.allocatedBytes - this.threads * this.#scratchBytes;
  }

  get room(): number {
    return this.memory.room;
  }

  protected get lost(): string | undefined {
    return this.#failure ??= this.#workers.failure;
  }

  allocate(spec: BufferSpec): WasmBuffer {
    return new WasmBuffer(spec, this);
  }

  bytesOf({ length }: BufferSpec): number {
    return sizeOf(4 * length);
  }

  measure(plans: readonly Plan[], stores?: Stores): number {
    return measurePlans(plans, stores, this);
  }

  compile(plan: Plan, stores: Stores): Promise<WasmProgram> {
    return compileProgram(plan, stores, this);
  }

  /** Returns the bytes that {@linkcode WasmBackend.reserveScratch} adds to the scratch memory already reserved, or with `isEmpty`, to none. */
  bytesOfScratch(
    bytes: number,
    { isEmpty }: { readonly isEmpty: boolean },
  ): number {
    const before = isEmpty ? 0 : this.#scratchBytes;
    return Math.max(0, this.threads * (align(bytes) - before));
  }

  /** Makes sure that every thread has at least `bytes` of scratch memory. Must not be called while a program runs. */
  reserveScratch(bytes: number): void {
    if (bytes <= this.#scratchBytes) return;
    const each = align(bytes);
    const at = this.memory.allocate(each * this.threads, "scratch memory");
    // The old memory is freed only after the allocation: if that fails, other programs still have the old memory.
    const [old] = this.memory.i32(CONTROL_SCRATCH, 1);
    if (old !== 0) this.memory.free(old! >>> 0);
    this.#control(CONTROL_SCRATCH, at);
    this.#control(CONTROL_SCRATCH_BYTES, each);
    this.#scratchBytes = each;
  }

  /**
   * Computes the records [from, to) and returns when all are done.
   *
   * @param parallel true if the workers take part
   * @throws {DeviceLostError} if a thread failed
   */
  run(from: number, to: number, parallel: boolean, action: string): void {
    this.checkOpen(action);
    const exports = this.#exports!;
    const workers = parallel ? this.#workers.count : 0;
    try {
      if (exports.run(from, to, workers) === 1) return;
      this.#failure = "a thread of the wasm engine broke down";
    } catch (error) {
      exports.fail();
      this.#failure = `the wasm engine broke down (${
        (error as Error).message
      })`;
    }
    this.checkOpen(action);
  }

  /** Ends the workers, then releases all memory. */
  protected async close(): Promise<void> {
    if (this.threads > 1) {
      if (this.#failure !== undefined) this.#exports!.fail();
      await this.#workers.close(this.memory.i32(0, HEAP / 4));
    }
    this.#found?.blas.close();
    this.memory.close();
    this.#exports = undefined; // it holds the memory, too
  }

  #control(address: number, value: number): void {
    this.memory.i32(address, 1)[0] = value;
  }
}

/** Returns true if this thread may sleep while it waits for others; the window's thread in a browser may not. */
function maySleep(): boolean {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  try {
    Atomics.wait(cell, 0, 1);
    return true;
  } catch {
    return false;
  }
}
