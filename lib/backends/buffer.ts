/** The part of a buffer that all backends share: checks of element ranges, and of use after the buffer was destroyed. */

import type { BufferSpec } from "../graph/plan.ts";
import type { CopiedRange, DeviceBuffer, Numbers } from "./backend.ts";
import { refusal } from "../refusal.ts";

/** The part of a backend that its buffers call. */
export interface Owner {
  /** Throws if the device is lost or the backend was disposed. */
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
    return this.get(offset, length); // not awaited: an await would take the copy a turn later, when training may be a step further
  }

  copy(source: DeviceBuffer, range: CopiedRange): void {
    const other = source as BoundBuffer<Backend>;
    other.#checkElements("read", range.from, range.length);
    this.#checkElements("write", range.to, range.length);
    this.transfer(other, range);
  }

  destroy(): void {
    if (this.#destroyed) return; // its memory may belong to another buffer by now
    this.#destroyed = true;
    this.free();
  }

  /**
   * Throws if the buffer was destroyed: its memory may belong to another buffer by now.
   *
   * @param action the requested operation, e.g. `run train`
   */
  checkUsable(action: string): void {
    if (!this.#destroyed) return;
    throw refusal(TypeError, action, `${this.spec.name} was destroyed`);
  }

  /** Copies `data` to the elements from `offset` on; the range is already checked. */
  protected abstract set(data: ArrayLike<number>, offset: number): void;

  /** Returns a copy of the elements as they are after every run submitted so far; the range is already checked. */
  protected abstract get(
    offset: number,
    length: number,
  ): Numbers | Promise<Numbers>;

  /** Copies elements of another buffer, which is in host memory unless a subclass overrides this; the range is already checked. */
  protected transfer(
    source: DeviceBuffer,
    { from, to, length }: CopiedRange,
  ): void {
    this.set(source.memory!.subarray(from, from + length), to);
  }

  /** Frees the memory. */
  protected abstract free(): void;

  #checkElements(verb: "read" | "write", offset: number, length: number): void {
    const { name, length: whole } = this.spec;
    const action = `${verb} ${name}`;
    this.backend.checkOpen(action);
    this.checkUsable(action);
    if (offset >= 0 && length >= 0 && offset + length <= whole) return;
    throw refusal(
      RangeError,
      action,
      `elements ${offset} to ${offset + length} are not within its ${whole}`,
    );
  }
}
