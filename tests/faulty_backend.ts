/**
 * A backend that makes a known mistake: the reference, with dispatches of its plans
 * exchanged for wrong ones. It calls itself WebGPU, so that it is judged by the wide
 * tolerances of float32: a mistake seen there is seen everywhere.
 */

import type {
  Backend,
  BackendKind,
  DeviceBuffer,
  Program,
  Stores,
} from "../lib/backends/backend.ts";
import { openReference } from "../lib/backends/reference.ts";
import type { BufferSpec, Dispatch, Plan } from "../lib/graph/plan.ts";

/** What goes wrong. */
export interface Mistake {
  /** Exchanges a dispatch. */
  readonly dispatch?: (dispatch: Dispatch) => Dispatch;
  /** Exchanges what the host writes to an input. */
  readonly write?: (name: string, data: ArrayLike<number>) => ArrayLike<number>;
}

/** Opens the reference backend with a mistake; without one it only goes by another name. */
export function openFaulty(mistake: Mistake = {}): Backend {
  return new FaultyBackend(mistake);
}

class FaultyBackend implements Backend {
  readonly kind: BackendKind = "webgpu";
  readonly description = "the reference, with a mistake";
  readonly #inner = openReference();
  readonly #mistake: Mistake;

  constructor(mistake: Mistake) {
    this.#mistake = mistake;
  }

  get allocatedBytes(): number {
    return this.#inner.allocatedBytes;
  }

  createStore(spec: BufferSpec): DeviceBuffer {
    return this.#inner.createStore(spec);
  }

  async compile(plan: Plan, stores: Stores): Promise<Program> {
    const { dispatch = (right) => right, write } = this.#mistake;
    const dispatches = plan.dispatches.map(dispatch);
    const program = await this.#inner.compile({ ...plan, dispatches }, stores);
    return write === undefined ? program : new FaultyProgram(program, write);
  }

  finish(): Promise<void> {
    return this.#inner.finish();
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#inner[Symbol.asyncDispose]();
  }
}

class FaultyProgram implements Program {
  readonly #inner: Program;
  readonly #write: NonNullable<Mistake["write"]>;

  constructor(inner: Program, write: NonNullable<Mistake["write"]>) {
    this.#inner = inner;
    this.#write = write;
  }

  get plan(): Plan {
    return this.#inner.plan;
  }

  buffer(name: string): DeviceBuffer {
    const buffer = this.#inner.buffer(name);
    return {
      spec: buffer.spec,
      write: (data, offset) => buffer.write(this.#write(name, data), offset),
      read: (offset, length) => buffer.read(offset, length),
      destroy: () => buffer.destroy(),
    };
  }

  run(phases?: readonly string[]): void {
    this.#inner.run(phases);
  }

  destroy(): void {
    this.#inner.destroy();
  }
}

/** Changes dims of dispatches whose kernel's name a pattern matches, to what a function says of the right ones. */
export function wrongDims(
  kernels: RegExp,
  change: (dims: Record<string, unknown>) => Record<string, unknown>,
): Mistake {
  return {
    dispatch: (dispatch) => {
      if (!kernels.test(dispatch.kernel)) return dispatch;
      const dims: Record<string, unknown> = { ...dispatch.dims };
      return { ...dispatch, dims: { ...dims, ...change(dims) } } as Dispatch;
    },
  };
}
