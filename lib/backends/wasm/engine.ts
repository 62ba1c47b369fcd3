/**
 * The wasm backend: executes plans on the CPU, with SIMD and with a thread for each
 * core, on any machine and with nothing installed. The parts are beside this file
 * (`wasm_*.ts`), the kernels in `kernels/wasm/`.
 *
 * The calling thread computes too: `Program.run` returns when the work is done.
 */

import type { BufferSpec, Plan } from "../../graph/plan.ts";
import type { DeviceBuffer, Executor, Stores } from "../backend.ts";
import { WasmBuffer } from "./buffer.ts";
import { type Engine, WasmContext } from "./context.ts";
import { WasmMemory } from "./memory.ts";
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

/** A {@linkcode Executor} on the CPU. */
export interface WasmBackend extends Executor {
  readonly kind: "wasm";
  /** Threads that compute, the caller's included. */
  readonly threads: number;
  /** Which build of the kernels it runs. */
  readonly build: WasmBuild;
  compile(plan: Plan, stores: Stores): Promise<WasmProgram>;
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
  const engine = exports as unknown as Engine;
  const context = new WasmContext(
    engine,
    new WasmMemory(memory, pages),
    workers,
  );
  const reason = wanted === 1
    ? undefined
    : shared
    ? refusal && `no more could be started: ${refusal}`
    : shareable
    ? "memory is not shared, as asked"
    : "this runtime shares no memory between threads";
  return new OpenBackend(context, build, reason);
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

/** The one implementation of {@linkcode WasmBackend}. */
class OpenBackend implements WasmBackend {
  readonly kind = "wasm";
  readonly description: string;
  readonly build: WasmBuild;
  readonly #context: WasmContext;

  constructor(
    context: WasmContext,
    build: WasmBuild,
    reason: string | undefined,
  ) {
    this.#context = context;
    this.build = build;
    const { threads } = context;
    const team = threads === 1 ? "1 thread" : `${threads} threads`;
    this.description = `CPU, ${team}${reason ? ` (${reason})` : ""}, ${
      build === "relaxed" ? "relaxed SIMD" : "SIMD"
    }`;
  }

  get threads(): number {
    return this.#context.threads;
  }

  get allocatedBytes(): number {
    return this.#context.allocatedBytes;
  }

  get room(): number {
    return this.#context.memory.room;
  }

  // deno-lint-ignore require-await
  async createStore(spec: BufferSpec): Promise<DeviceBuffer> {
    this.#context.checkOpen(`create ${spec.name}`);
    return new WasmBuffer(spec, this.#context);
  }

  measure(plans: readonly Plan[], stores?: Stores): number {
    return measurePlans(plans, stores, this.#context);
  }

  // deno-lint-ignore require-await
  async compile(plan: Plan, stores: Stores): Promise<WasmProgram> {
    return compileProgram(plan, stores, this.#context);
  }

  // deno-lint-ignore require-await
  async finish(): Promise<void> {
    this.#context.checkOpen("finish");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.close();
  }
}
