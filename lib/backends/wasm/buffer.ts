/** Buffers of the wasm backend: what the host sees of them. */

import type { BufferSpec } from "../../graph/plan.ts";
import type { Numbers } from "../backend.ts";
import { BoundBuffer } from "../buffer.ts";
import type { WasmBackend } from "./engine.ts";

/** A part of a buffer in another order, as a kernel wants it; the programs that read it share it. */
export interface ReorderedCopy {
  /** Byte address. */
  readonly at: number;
  /** The version of the buffer that it was made from; -1 at first. */
  version: number;
  users: number;
}

/** A buffer in WebAssembly memory. */
export class WasmBuffer extends BoundBuffer<WasmBackend> {
  /** Byte address. */
  readonly at: number;
  /** Goes up with every change by the host or a program: what was derived from the content is then out of date. */
  version = 0;
  /** By the name of their order. */
  readonly #copies = new Map<string, ReorderedCopy>();

  /** Allocates `spec.length` zeros. */
  constructor(spec: BufferSpec, backend: WasmBackend) {
    super(spec, backend);
    this.at = backend.memory.allocate(4 * spec.length, spec.name);
  }

  /** A view of the engine's memory. It is good until that grows: ask again each time. */
  get memory(): Float32Array | Int32Array {
    const action = `read ${this.spec.name}`;
    this.backend.checkOpen(action);
    this.checkUsable(action);
    return this.#words(0, this.spec.length);
  }

  protected set(data: ArrayLike<number>, offset: number): void {
    this.version++;
    this.#words(offset, data.length).set(data);
  }

  protected get(offset: number, length: number): Numbers {
    // A slice has memory of its own: the engine's may be shared, and goes on changing.
    return this.#words(offset, length).slice();
  }

  protected free(): void {
    this.backend.memory.free(this.at);
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
      const at = this.backend.memory.allocate(bytes, what);
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
    this.backend.memory.free(copy.at);
  }

  #words(offset: number, length: number): Float32Array | Int32Array {
    const { memory } = this.backend;
    const at = this.at + 4 * offset;
    return this.spec.dtype === "f32"
      ? memory.f32(at, length)
      : memory.i32(at, length);
  }
}
