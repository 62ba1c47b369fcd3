/** Buffers of the wasm backend, read and written by the host. */

import type { BufferSpec } from "../../graph/plan.ts";
import type { Numbers } from "../backend.ts";
import { BoundBuffer, type Owner } from "../buffer.ts";
import type { WasmMemory } from "./memory.ts";

/** A copy of a part of a buffer, in the order that a kernel reads. All programs that read the copy share it. */
export interface ReorderedCopy {
  /** Byte address. */
  readonly at: number;
  /** The version of the buffer that the copy was made from; -1 before the first time. */
  version: number;
  users: number;
}

/** The part of the backend that its buffers use. */
interface MemoryOwner extends Owner {
  readonly memory: WasmMemory;
}

/** A buffer in WebAssembly memory. */
export class WasmBuffer extends BoundBuffer<MemoryOwner> {
  /** Byte address. */
  readonly at: number;
  /** The number of changes by the host and by programs so far. Copies made from another version are out of date. */
  version = 0;
  /** Reordered copies, by the name of their order. */
  readonly #copies = new Map<string, ReorderedCopy>();

  /** Allocates `spec.length` zeros. */
  constructor(spec: BufferSpec, backend: MemoryOwner) {
    super(spec, backend);
    this.at = backend.memory.allocate(4 * spec.length, spec.name);
  }

  /** A view of the engine's memory. Valid until that memory grows, so get it again for each use. */
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
    // A slice has memory of its own: the engine's memory may be shared between threads, and keeps changing.
    return this.#words(offset, length).slice();
  }

  protected free(): void {
    this.backend.memory.free(this.at);
  }

  /** Returns true if there is a copy in this order. */
  hasCopy(order: string): boolean {
    return this.#copies.has(order);
  }

  /** Returns the copy in this order, allocated if there is none. Each caller must release it with {@linkcode WasmBuffer.leaveCopy}. */
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

  /** Releases a copy; the last user's release frees it. */
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
