/** What the buffers of all backends share: which elements there are, and when they may be used. */

import type { BufferSpec } from "../graph/plan.ts";
import type { DeviceBuffer, Numbers } from "./backend.ts";

/** What a buffer asks of the backend that it is on. */
export interface Owner {
  /** Refuses work on a device that is gone. */
  checkOpen(action: string): void;
}

/** A {@linkcode DeviceBuffer} of one backend. */
export abstract class BoundBuffer<Backend extends Owner = Owner>
  implements DeviceBuffer {
  readonly spec: BufferSpec;
  readonly backend: Backend;
  #destroyed = false;

  constructor(spec: BufferSpec, backend: Backend) {
    this.spec = spec;
    this.backend = backend;
  }

  write(data: ArrayLike<number>, offset = 0): void {
    this.#checkElements("write", offset, data.length);
    this.set(data, offset);
  }

  // deno-lint-ignore require-await
  async read(
    offset = 0,
    length: number = this.spec.length - offset,
  ): Promise<Numbers> {
    this.#checkElements("read", offset, length);
    return this.get(offset, length); // awaited, it would come a turn later, and training be a step further on
  }

  destroy(): void {
    if (this.#destroyed) return; // its memory may be another's by now
    this.#destroyed = true;
    this.free();
  }

  /**
   * Refuses work on memory that may be another's by now.
   *
   * @param action what was asked for, e.g. `run train`
   */
  checkUsable(action: string): void {
    if (!this.#destroyed) return;
    throw new TypeError(`Cannot ${action}: ${this.spec.name} was destroyed`);
  }

  /** Copies `data` to elements that there are. */
  protected abstract set(data: ArrayLike<number>, offset: number): void;

  /** Returns a copy of elements that there are, as they are after every run submitted so far. */
  protected abstract get(
    offset: number,
    length: number,
  ): Numbers | Promise<Numbers>;

  /** Gives the memory back. */
  protected abstract free(): void;

  #checkElements(verb: "read" | "write", offset: number, length: number): void {
    const { name, length: whole } = this.spec;
    const action = `${verb} ${name}`;
    this.backend.checkOpen(action);
    this.checkUsable(action);
    if (offset >= 0 && length >= 0 && offset + length <= whole) return;
    throw new RangeError(
      `Cannot ${action}: elements ${offset} to ${
        offset + length
      } are not within its ${whole}`,
    );
  }
}
