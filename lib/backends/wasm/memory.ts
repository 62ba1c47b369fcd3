/**
 * Memory of the wasm backend: pieces of one WebAssembly memory, given out and
 * taken back. It grows as needed and never shrinks.
 */

import { HEAP } from "../../../kernels/wasm/codes.ts";
import { OutOfMemoryError } from "../backend.ts";

/** A page of WebAssembly. */
const PAGE = 65536;

/** Every allocation begins at a multiple of this: a cache line. */
const ALIGNMENT = 64;

/** Kernels may read past the end of an operand, by less than this; so nothing is given out in the last page. */
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

/** Bytes that an allocation takes. */
export function sizeOf(bytes: number): number {
  return align(Math.max(bytes, 1));
}

/** Gives out the memory behind a {@linkcode WebAssembly.Memory}. */
export class WasmMemory {
  /** The most that it can give out at a time. */
  readonly capacity: number;
  #memory: WebAssembly.Memory | undefined;
  readonly #used = new Map<number, number>();
  /** Gaps between used pieces, by address; no two touch. */
  #free: Gap[] = [];
  #end = HEAP;
  /** From here on all is 0 as it was in the beginning. */
  #fresh = HEAP;
  #allocatedBytes = 0;

  /** @param pages to how many pages of 64 KiB it can grow */
  constructor(memory: WebAssembly.Memory, pages: number) {
    this.#memory = memory;
    this.capacity = PAGE * pages - HEAP - MARGIN;
  }

  /** Bytes given out at present. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** Bytes that can be given out besides, though perhaps not in one piece. */
  get room(): number {
    return this.capacity - this.#allocatedBytes;
  }

  /** The words [at, at + 4·length) as numbers. A view: it must not be kept beyond an allocation. */
  f32(at: number, length: number): Float32Array {
    return new Float32Array(this.#open.buffer, at, length);
  }

  /** The words [at, at + 4·length) as integers. A view: it must not be kept beyond an allocation. */
  i32(at: number, length: number): Int32Array {
    return new Int32Array(this.#open.buffer, at, length);
  }

  /**
   * Gives out zeros.
   *
   * @param what it is for, in an error's words
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

  /** Takes back what was given out at this address. Nothing happens if it was taken back already. */
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

  /** Lets go of all memory. Nothing is given out afterwards, and nothing is in use. */
  close(): void {
    this.#memory = undefined;
    this.#used.clear();
    this.#free = [];
    this.#allocatedBytes = 0;
  }

  get #open(): WebAssembly.Memory {
    if (this.#memory) return this.#memory;
    throw new TypeError("Cannot use memory of the wasm engine: it is closed");
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
