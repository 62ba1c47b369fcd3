/** Buffers of the wasm backend: what the host sees of them. */

import type { BufferSpec } from "../graph/plan.ts";
import type { DeviceBuffer, Numbers } from "./backend.ts";
import { checkStretch } from "./checks.ts";
import type { WasmContext } from "./wasm_context.ts";

/** A {@linkcode DeviceBuffer} in WebAssembly memory. */
export class WasmBuffer implements DeviceBuffer {
  readonly spec: BufferSpec;
  readonly context: WasmContext;
  /** Byte address. */
  readonly at: number;
  /** Goes up with every change by the host or a program: what was derived from the content is then out of date. */
  version = 0;
  #destroyed = false;

  /** Allocates `spec.length` zeros. */
  constructor(spec: BufferSpec, context: WasmContext) {
    this.spec = spec;
    this.context = context;
    this.at = context.memory.allocate(4 * spec.length, spec.name);
  }

  write(data: ArrayLike<number>, offset = 0): void {
    this.checkUsable(`write ${this.spec.name}`);
    checkStretch("write", this.spec, offset, data.length);
    this.version++;
    this.#words(offset, data.length).set(data);
  }

  // deno-lint-ignore require-await
  async read(
    offset = 0,
    length: number = this.spec.length - offset,
  ): Promise<Numbers> {
    this.checkUsable(`read ${this.spec.name}`);
    checkStretch("read", this.spec, offset, length);
    // A slice has memory of its own: the engine's may be shared, and goes on changing.
    return this.#words(offset, length).slice();
  }

  /** A view of the engine's memory. It is good until that grows: ask again each time. */
  get memory(): Float32Array | Int32Array {
    this.checkUsable(`read ${this.spec.name}`);
    return this.#words(0, this.spec.length);
  }

  destroy(): void {
    if (this.#destroyed) return; // its address may be another's by now
    this.#destroyed = true;
    this.context.memory.free(this.at);
  }

  /**
   * Refuses work on memory that may be another's by now.
   *
   * @param action what was asked for, e.g. `write wte`
   */
  checkUsable(action: string): void {
    this.context.checkOpen(action);
    if (!this.#destroyed) return;
    throw new TypeError(`Cannot ${action}: ${this.spec.name} was destroyed`);
  }

  #words(offset: number, length: number): Float32Array | Int32Array {
    const { memory } = this.context;
    const at = this.at + 4 * offset;
    return this.spec.dtype === "f32"
      ? memory.f32(at, length)
      : memory.i32(at, length);
  }
}
