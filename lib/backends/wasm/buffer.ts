/** Buffers of the wasm backend: what the host sees of them. */

import type { BufferSpec } from "../../graph/plan.ts";
import type { DeviceBuffer, Numbers } from "../backend.ts";
import { checkStretch } from "../checks.ts";
import type { WasmContext } from "./context.ts";

/** A part of a buffer in another order, as a kernel wants it; the programs that read it share it. */
export interface ReorderedCopy {
  /** Byte address. */
  readonly at: number;
  /** The version of the buffer that it was made from; -1 at first. */
  version: number;
  users: number;
}

/** A {@linkcode DeviceBuffer} in WebAssembly memory. */
export class WasmBuffer implements DeviceBuffer {
  readonly spec: BufferSpec;
  readonly context: WasmContext;
  /** Byte address. */
  readonly at: number;
  /** Goes up with every change by the host or a program: what was derived from the content is then out of date. */
  version = 0;
  /** By the name of their order. */
  readonly #copies = new Map<string, ReorderedCopy>();
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

  /** Whether there is a copy of this order. */
  hasCopy(order: string): boolean {
    return this.#copies.has(order);
  }

  /** Returns the copy of an order, allocated if there is none; to be given back by {@linkcode WasmBuffer.leaveCopy}. */
  shareCopy(order: string, bytes: number): ReorderedCopy {
    let copy = this.#copies.get(order);
    if (copy === undefined) {
      const what = `reordered ${this.spec.name}`;
      const at = this.context.memory.allocate(bytes, what);
      copy = { at, version: -1, users: 0 };
      this.#copies.set(order, copy);
    }
    copy.users++;
    return copy;
  }

  /** Gives a copy back; the last one frees it. */
  leaveCopy(order: string): void {
    const copy = this.#copies.get(order);
    if (copy === undefined || --copy.users > 0) return;
    this.#copies.delete(order);
    this.context.memory.free(copy.at);
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
