/**
 * What the parts of the wasm backend share: the instance of its module, the memory,
 * the threads, and the record of how it failed.
 */

import {
  CONTROL_MAY_SLEEP,
  CONTROL_SCRATCH,
  CONTROL_SCRATCH_BYTES,
  HEAP,
} from "../../../kernels/wasm/codes.ts";
import { DeviceLostError } from "../backend.ts";
import type { WasmMemory } from "./memory.ts";
import type { WasmWorkers } from "./workers.ts";

/** What the module exports; see `kernels/wasm/assembly/run.ts`. */
export interface Engine {
  run(from: number, to: number, workers: number): number;
  work(): void;
  fail(): void;
}

/** A running engine and its state. */
export class WasmContext {
  readonly memory: WasmMemory;
  readonly workers: WasmWorkers;
  #engine: Engine | undefined;
  #scratchBytes = 0;
  #lost: string | undefined;
  #closed = false;

  constructor(engine: Engine, memory: WasmMemory, workers: WasmWorkers) {
    this.#engine = engine;
    this.memory = memory;
    this.workers = workers;
    this.#control(CONTROL_MAY_SLEEP, workers.count > 0 && maySleep() ? 1 : 0);
  }

  /** Bytes given out at present, but for the threads' scratch memory, which stays. */
  get allocatedBytes(): number {
    return this.memory.allocatedBytes - this.threads * this.#scratchBytes;
  }

  /** Threads that compute, the caller's included. */
  get threads(): number {
    return this.workers.count + 1;
  }

  /**
   * Refuses work on an engine that is gone.
   *
   * @param action what was asked for, e.g. `run train`
   */
  checkOpen(action: string): void {
    if (this.#closed) {
      throw new DeviceLostError(`Cannot ${action}: the backend was disposed`);
    }
    this.#lost ??= this.workers.failure;
    if (this.#lost !== undefined) {
      throw new DeviceLostError(`Cannot ${action}: ${this.#lost}`);
    }
  }

  /** Bytes that {@linkcode WasmContext.reserveScratch} takes for it: besides what there is, or on an empty device. */
  bytesOfScratch(
    bytes: number,
    { isEmpty }: { readonly isEmpty: boolean },
  ): number {
    const before = isEmpty ? 0 : this.#scratchBytes;
    return Math.max(0, this.threads * (eachOf(bytes) - before));
  }

  /** Makes sure that every thread has that much scratch memory. Not to be called while a program runs. */
  reserveScratch(bytes: number): void {
    if (bytes <= this.#scratchBytes) return;
    const each = eachOf(bytes);
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
    const engine = this.#engine!;
    const workers = parallel ? this.workers.count : 0;
    try {
      if (engine.run(from, to, workers) === 1) return;
      this.#lost = "a thread of the wasm engine broke down";
    } catch (error) {
      engine.fail();
      this.#lost = `the wasm engine broke down (${(error as Error).message})`;
    }
    throw new DeviceLostError(`Cannot ${action}: ${this.#lost}`);
  }

  /** Lets the workers end, then lets go of all memory. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.workers.count > 0) {
      if (this.#lost !== undefined) this.#engine!.fail();
      await this.workers.close(this.memory.i32(0, HEAP / 4));
    }
    this.memory.close();
    this.#engine = undefined;
  }

  #control(address: number, value: number): void {
    this.memory.i32(address, 1)[0] = value;
  }
}

/** Bytes of scratch memory for each thread. */
function eachOf(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
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
