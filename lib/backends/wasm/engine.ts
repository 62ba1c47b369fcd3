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
  HEAP,
} from "../../../kernels/wasm/codes.ts";
import type { BufferSpec, Plan } from "../../graph/plan.ts";
import type { Stores } from "../backend.ts";
import { OpenBackend } from "../program.ts";
import { WasmBuffer } from "./buffer.ts";
import { align, sizeOf, WasmMemory } from "./memory.ts";
import { loadModule, type WasmBuild } from "./module.ts";
import { compileProgram, measurePlans, type WasmProgram } from "./program.ts";
import { WasmWorkers } from "./workers.ts";

/** How to open the wasm backend. */
export interface WasmOptions {
  /** Threads that compute, the caller's included, from 1 to 256; by default one for each core. */
  readonly threads?: number | undefined;
  /** Which build of the kernels; by default the fastest that the runtime takes. */
  readonly build?: WasmBuild | undefined;
  /** Whether memory may be shared between threads; by default, where the runtime lets it. Without it there is one thread. */
  readonly shared?: boolean | undefined;
  /** Pages of 64 KiB that the engine's memory may take; by default as many as the runtime gives, 65536 at most. */
  readonly pages?: number | undefined;
}

/** The most memory that is asked for, in pages of 64 KiB; less where the runtime does not give it. */
const MOST_PAGES = [65536, 32768, 16384];
/** Pages at the start. */
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
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > 256) {
    throw new RangeError(
      `Cannot open device wasm: threads (${wanted}) is not an integer from 1 to 256`,
    );
  }
  const shareable = canShare();
  const shared = options.shared ?? shareable;
  const { build, module } = await loadModule({ build: options.build, shared });
  const { memory, pages } = createMemory(shared, options.pages);
  const { workers, refusal } = await WasmWorkers.start(
    shared ? wanted - 1 : 0,
    { module, memory },
  );
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const reason = wanted === 1
    ? undefined
    : shared
    ? refusal && `no more could be started: ${refusal}`
    : shareable
    ? "memory is not shared, as asked"
    : "this runtime shares no memory between threads";
  return new WasmBackend({
    ...{ build, reason, workers },
    exports: exports as unknown as Exports,
    memory: new WasmMemory(memory, pages),
  });
}

/** Whether memory can go to workers: not on a page without cross-origin isolation. */
function canShare(): boolean {
  return typeof SharedArrayBuffer !== "undefined" &&
    (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated !==
      false;
}

function createMemory(
  shared: boolean,
  most?: number,
): { memory: WebAssembly.Memory; pages: number } {
  let refusal: unknown;
  for (const maximum of most === undefined ? MOST_PAGES : [most]) {
    try {
      const limits = { initial: FEWEST_PAGES, maximum, shared };
      return { memory: new WebAssembly.Memory(limits), pages: maximum };
    } catch (error) {
      refusal = error;
    }
  }
  throw refusal;
}

/** What the module exports; see `kernels/wasm/assembly/run.ts`. */
interface Exports {
  run(from: number, to: number, workers: number): number;
  work(): void;
  fail(): void;
}

/** An executor on the CPU: an instance of the module with its memory and its threads. */
export class WasmBackend extends OpenBackend {
  readonly kind = "wasm";
  readonly description: string;
  /** Which build of the kernels it runs. */
  readonly build: WasmBuild;
  readonly memory: WasmMemory;
  #exports: Exports | undefined;
  readonly #workers: WasmWorkers;
  #scratchBytes = 0;
  #failure: string | undefined;

  /** @param parts.reason why there are fewer threads than were wanted */
  constructor({ build, reason, workers, exports, memory }: {
    readonly build: WasmBuild;
    readonly reason: string | undefined;
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
    this.description = `CPU, ${team}${reason ? ` (${reason})` : ""}, ${
      build === "relaxed" ? "relaxed SIMD" : "SIMD"
    }`;
    this.#control(CONTROL_MAY_SLEEP, threads > 1 && maySleep() ? 1 : 0);
  }

  /** Threads that compute, the caller's included. */
  get threads(): number {
    return this.#workers.count + 1;
  }

  /** Bytes given out at present, but for the threads' scratch memory, which stays. */
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

  /** Bytes that {@linkcode WasmBackend.reserveScratch} takes for it: besides what there is, or on an empty device. */
  bytesOfScratch(
    bytes: number,
    { isEmpty }: { readonly isEmpty: boolean },
  ): number {
    const before = isEmpty ? 0 : this.#scratchBytes;
    return Math.max(0, this.threads * (align(bytes) - before));
  }

  /** Makes sure that every thread has that much scratch memory. Not to be called while a program runs. */
  reserveScratch(bytes: number): void {
    if (bytes <= this.#scratchBytes) return;
    const each = align(bytes);
    const at = this.memory.allocate(each * this.threads, "scratch memory");
    // Only now that there is room: other programs go on with what there was.
    const [old] = this.memory.i32(CONTROL_SCRATCH, 1);
    if (old !== 0) this.memory.free(old! >>> 0);
    this.#control(CONTROL_SCRATCH, at);
    this.#control(CONTROL_SCRATCH_BYTES, each);
    this.#scratchBytes = each;
  }

  /**
   * Computes the records [from, to) and returns when all is done.
   *
   * @param parallel whether the workers help
   * @throws {DeviceLostError} if a thread broke down
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

  /** Lets the workers end, then lets go of all memory. */
  protected async close(): Promise<void> {
    if (this.threads > 1) {
      if (this.#failure !== undefined) this.#exports!.fail();
      await this.#workers.close(this.memory.i32(0, HEAP / 4));
    }
    this.memory.close();
    this.#exports = undefined; // it holds the memory, too
  }

  #control(address: number, value: number): void {
    this.memory.i32(address, 1)[0] = value;
  }
}

/** Whether this thread may wait for others asleep: in a browser, not the window's. */
function maySleep(): boolean {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  try {
    Atomics.wait(cell, 0, 1);
    return true;
  } catch {
    return false;
  }
}
