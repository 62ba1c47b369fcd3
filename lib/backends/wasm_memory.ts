/**
 * Memory of the wasm backend: stretches of one WebAssembly memory, given out and
 * taken back. It grows as needed and never shrinks.
 */

import { HEAP } from "../../kernels/wasm/codes.ts";

/** A page of WebAssembly. */
const PAGE = 65536;

/** Every stretch begins at a multiple of this: a cache line. */
const ALIGNMENT = 64;

/** The most that WebAssembly's 32-bit addresses can name. */
export const ADDRESSABLE_BYTES: number = 65536 * PAGE;

/** A stretch of memory: [at, at + bytes). */
interface Stretch {
  readonly at: number;
  readonly bytes: number;
}

/** Gives out the memory behind a {@linkcode WebAssembly.Memory}. */
export class WasmMemory {
  readonly memory: WebAssembly.Memory;
  readonly #used = new Map<number, number>();
  /** Gaps between used stretches, by address; no two touch. */
  #free: Stretch[] = [];
  #end = HEAP;
  #allocatedBytes = 0;

  constructor(memory: WebAssembly.Memory) {
    this.memory = memory;
  }

  /** Bytes given out at present. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** The words [at, at + 4·length) as numbers. A view: it must not be kept beyond an allocation. */
  f32(at: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, at, length);
  }

  /** The words [at, at + 4·length) as integers. A view: it must not be kept beyond an allocation. */
  i32(at: number, length: number): Int32Array {
    return new Int32Array(this.memory.buffer, at, length);
  }

  /**
   * Gives out zeros.
   *
   * @param what it is for, in an error's words
   * @throws {RangeError} if there is no room
   */
  allocate(bytes: number, what: string): number {
    const wanted = Math.ceil(Math.max(bytes, 1) / ALIGNMENT) * ALIGNMENT;
    const gap = this.#free.findIndex((stretch) => stretch.bytes >= wanted);
    let at: number;
    if (gap >= 0) {
      const stretch = this.#free[gap]!;
      at = stretch.at;
      const rest = { at: at + wanted, bytes: stretch.bytes - wanted };
      this.#free.splice(gap, 1, ...(rest.bytes > 0 ? [rest] : []));
      new Uint8Array(this.memory.buffer, at, wanted).fill(0);
    } else {
      at = this.#end;
      // What is new is 0. Kernels may read a little past the end of what is theirs.
      this.#grow(at + wanted + ALIGNMENT, wanted, what);
      this.#end = at + wanted;
    }
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
    const merged: Stretch[] = [];
    const stretches = [...this.#free, { at, bytes }];
    for (const stretch of stretches.sort((a, b) => a.at - b.at)) {
      const last = merged.at(-1);
      if (last !== undefined && last.at + last.bytes === stretch.at) {
        merged[merged.length - 1] = {
          at: last.at,
          bytes: last.bytes + stretch.bytes,
        };
      } else merged.push(stretch);
    }
    this.#free = merged;
  }

  #grow(end: number, wanted: number, what: string): void {
    const missing = end - this.memory.buffer.byteLength;
    if (missing <= 0) return;
    try {
      if (end > ADDRESSABLE_BYTES) throw new RangeError("4 GiB is the limit");
      this.memory.grow(Math.ceil(missing / PAGE));
    } catch (cause) {
      const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
      throw new RangeError(
        `Cannot allocate ${what}: ${megabytes(wanted)} more than the ${
          megabytes(this.#allocatedBytes)
        } in use are beyond what this WebAssembly memory can hold`,
        { cause },
      );
    }
  }
}
