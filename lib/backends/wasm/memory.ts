/**
 * Memory of the wasm backend: pieces of one WebAssembly memory, given out and
 * taken back. It grows as needed and never shrinks.
 */

import { HEAP } from "../../../kernels/wasm/codes.ts";
import { OutOfMemoryError } from "../backend.ts";
import { refusal } from "../../refusal.ts";

/** A page of WebAssembly. */
const PAGE = 65536;

/** Every allocation begins at a multiple of this: a cache line. */
const ALIGNMENT = 64;

/** Kernels may read past the end of an operand by less than this many bytes, so nothing is allocated in the last page. */
const MARGIN = PAGE;

/** A free piece of memory: [at, at + bytes). */
interface Gap {
  at: number;
  bytes: number;
}

/** Rounds bytes up to whole cache lines. */
export function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** Returns the bytes that an allocation takes. */
export function sizeOf(bytes: number): number {
  return align(Math.max(bytes, 1));
}

/** An allocator of the memory behind a {@linkcode WebAssembly.Memory}. */
export class WasmMemory {
  /** The most bytes that can be allocated at the same time. */
  readonly capacity: number;
  #memory: WebAssembly.Memory | undefined;
  readonly #used = new Map<number, number>();
  /** Gaps between used pieces, by address; no two touch. */
  #free: Gap[] = [];
  #end = HEAP;
  /** The address from which on memory was never allocated and is still 0. */
  #fresh = HEAP;
  #allocatedBytes = 0;

  /** @param pages the number of pages of 64 KiB that the memory can grow to */
  constructor(memory: WebAssembly.Memory, pages: number) {
    this.#memory = memory;
    this.capacity = PAGE * pages - HEAP - MARGIN;
  }

  /** Bytes currently allocated. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** Bytes that can still be allocated, though perhaps not in one piece. */
  get room(): number {
    return this.capacity - this.#allocatedBytes;
  }

  /** Returns a view of the bytes [at, at + 4·length) as `f32` numbers. The view must not be used after another allocation. */
  f32(at: number, length: number): Float32Array {
    return new Float32Array(this.#open.buffer, at, length);
  }

  /** Returns a view of the bytes [at, at + 4·length) as `i32` integers. The view must not be used after another allocation. */
  i32(at: number, length: number): Int32Array {
    return new Int32Array(this.#open.buffer, at, length);
  }

  /**
   * Allocates memory filled with zeros and returns its address.
   *
   * @param what the purpose of the memory, as an error names it
   * @throws {OutOfMemoryError} if there is no room
   */
  allocate(bytes: number, what: string): number {
    const wanted = sizeOf(bytes);
    const index = this.#free.findIndex((gap) => gap.bytes >= wanted);
    let at: number;
    if (index >= 0) {
      const gap = this.#free[index]!;
      at = gap.at;
      gap.at += wanted;
      gap.bytes -= wanted;
      if (gap.bytes === 0) this.#free.splice(index, 1);
    } else {
      at = this.#end;
      this.#grow(at + wanted, wanted, what);
      this.#end = at + wanted;
    }
    const used = Math.min(at + wanted, this.#fresh) - at;
    if (used > 0) new Uint8Array(this.#open.buffer, at, used).fill(0);
    this.#fresh = Math.max(this.#fresh, at + wanted);
    this.#used.set(at, wanted);
    this.#allocatedBytes += wanted;
    return at;
  }

  /** Frees the memory allocated at this address. Does nothing if it was freed already. */
  free(at: number): void {
    const bytes = this.#used.get(at);
    if (bytes === undefined) return;
    this.#used.delete(at);
    this.#allocatedBytes -= bytes;
    const gaps = [...this.#free, { at, bytes }].sort((a, b) => a.at - b.at);
    this.#free = [];
    for (const gap of gaps) {
      const last = this.#free.at(-1);
      if (last && last.at + last.bytes === gap.at) last.bytes += gap.bytes;
      else this.#free.push(gap);
    }
    const last = this.#free.at(-1)!;
    if (last.at + last.bytes !== this.#end) return;
    this.#end = last.at;
    this.#free.pop();
  }

  /** Releases all memory. Afterwards nothing can be allocated, and nothing is in use. */
  close(): void {
    this.#memory = undefined;
    this.#used.clear();
    this.#free = [];
    this.#allocatedBytes = 0;
  }

  get #open(): WebAssembly.Memory {
    if (this.#memory) return this.#memory;
    throw refusal(TypeError, "use memory of the wasm engine", "it is closed");
  }

  #grow(end: number, wanted: number, what: string): void {
    const missing = end + MARGIN - this.#open.buffer.byteLength;
    if (missing <= 0) return;
    const limit = HEAP + this.capacity;
    if (end > limit) {
      const isSplit = wanted <= this.room;
      const gaps = this.#free.map(({ bytes }) => bytes);
      const room = isSplit ? Math.max(limit - this.#end, ...gaps) : this.room;
      const action = `allocate ${what}${isSplit ? " in one piece" : ""}`;
      throw new OutOfMemoryError(action, { needed: wanted, room });
    }
    try {
      this.#open.grow(Math.ceil(missing / PAGE));
    } catch { // the system has less than the engine may ask for
      const sizes = { needed: wanted, room: undefined };
      throw new OutOfMemoryError(`allocate ${what}`, sizes);
    }
  }
}
