/**
 * The reference executor: every plan in float64, one plain loop after another.
 * It is the oracle that the other backends and the gradients are tested against,
 * so it is written to be checked by eye, not to be fast. The kernels are in
 * `reference/`.
 */

import type { BufferSpec, Dispatch, Operand, Plan } from "../graph/plan.ts";
import {
  type DeviceBuffer,
  type Executor,
  type Numbers,
  OutOfMemoryError,
  type Program,
  type Stores,
} from "./backend.ts";
import { bufferBytes, checkPlan, checkStretch, knownStore } from "./checks.ts";
import type { F64, I32 } from "../../kernels/reference/kernel.ts";
import { referenceKernels } from "../../kernels/reference/registry.ts";

/**
 * Opens the reference backend. It holds no device: disposing it only forgets its memory.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * await using backend = openReference();
 * const store = await backend.createStore({ name: "m", kind: "store", dtype: "f32", length: 3 });
 * store.write([1.5, 2.5], 1);
 * assertEquals(Array.from(await store.read()), [0, 1.5, 2.5]);
 * ```
 */
export function openReference(): Executor {
  return new ReferenceBackend();
}

class ReferenceBackend implements Executor {
  readonly kind = "reference";
  readonly description = "reference: float64, one thread";
  readonly #buffers = new Set<ReferenceBuffer>();

  get allocatedBytes(): number {
    let bytes = 0;
    for (const { memory } of this.#buffers) bytes += memory.byteLength;
    return bytes;
  }

  /** The engine does not say. */
  readonly room = undefined;

  // deno-lint-ignore require-await
  async createStore(spec: BufferSpec): Promise<DeviceBuffer> {
    return this.#allocate(spec);
  }

  #allocate(spec: BufferSpec): ReferenceBuffer {
    const buffer: ReferenceBuffer = new ReferenceBuffer(
      spec,
      () => this.#buffers.delete(buffer),
    );
    this.#buffers.add(buffer);
    return buffer;
  }

  measure(plans: readonly Plan[], stores?: Stores): number {
    return bufferBytes(plans, stores, bytesOf);
  }

  // deno-lint-ignore require-await
  async compile(plan: Plan, stores: Stores): Promise<Program> {
    checkPlan(plan);
    const own: ReferenceBuffer[] = [];
    const release = () => {
      for (const buffer of own) buffer.destroy();
    };
    try {
      const buffers = plan.buffers.map((spec) => {
        if (spec.kind === "store") return this.#share(spec, stores);
        const buffer = this.#allocate(spec);
        own.push(buffer);
        return buffer;
      });
      return new ReferenceProgram(plan, buffers, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  /** The store of that name, made if there is none yet. */
  #share(spec: BufferSpec, stores: Stores): ReferenceBuffer {
    const known = knownStore(
      spec,
      stores,
      (store) => store instanceof ReferenceBuffer,
    );
    if (known) return known;
    const made = this.#allocate(spec);
    stores.set(spec.name, made);
    return made;
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#buffers.clear();
    return Promise.resolve();
  }
}

class ReferenceBuffer implements DeviceBuffer {
  readonly spec: BufferSpec;
  readonly memory: F64 | I32;
  readonly #release: () => void;

  constructor(spec: BufferSpec, release: () => void) {
    this.spec = spec;
    this.#release = release;
    this.memory = allocate(spec);
    // What a plan reads before it was computed shall be seen.
    if (spec.kind === "slot" && spec.dtype === "f32") this.memory.fill(NaN);
  }

  write(data: ArrayLike<number>, offset = 0): void {
    checkStretch("write", this.spec, offset, data.length);
    this.memory.set(data, offset);
  }

  // deno-lint-ignore require-await
  async read(
    offset = 0,
    length: number = this.spec.length - offset,
  ): Promise<Numbers> {
    checkStretch("read", this.spec, offset, length);
    return this.memory.slice(offset, offset + length);
  }

  destroy(): void {
    this.#release();
  }
}

function bytesOf({ dtype, length }: BufferSpec): number {
  return (dtype === "f32" ? 8 : 4) * length;
}

/** Zeros; where there is no room, an error that says how many bytes were wanted. */
function allocate(spec: BufferSpec): F64 | I32 {
  const { name, dtype, length } = spec;
  const MemoryArray = dtype === "f32" ? Float64Array : Int32Array;
  try {
    return new MemoryArray(length);
  } catch {
    const sizes = { needed: bytesOf(spec), room: undefined };
    throw new OutOfMemoryError(`allocate ${name}`, sizes);
  }
}

class ReferenceProgram implements Program {
  readonly plan: Plan;
  readonly bytes: number;
  readonly #buffers: readonly ReferenceBuffer[];
  readonly #steps: readonly (() => void)[];
  readonly #release: () => void;

  constructor(
    plan: Plan,
    buffers: readonly ReferenceBuffer[],
    release: () => void,
  ) {
    this.plan = plan;
    this.bytes = buffers.filter(({ spec }) => spec.kind !== "store")
      .reduce((sum, { memory }) => sum + memory.byteLength, 0);
    this.#buffers = buffers;
    this.#release = release;
    this.#steps = plan.dispatches.map((dispatch) => bind(dispatch, buffers));
  }

  buffer(name: string): DeviceBuffer {
    const buffer = this.#buffers.find(({ spec }) =>
      spec.name === name && spec.kind !== "slot"
    );
    if (buffer === undefined) {
      throw new RangeError(
        `Cannot find buffer ${name}: plan ${this.plan.name} has none that the host can reach`,
      );
    }
    return buffer;
  }

  run(phases?: readonly string[]): void {
    if (phases === undefined) {
      for (const step of this.#steps) step();
      return;
    }
    for (const phase of phases) {
      const stretch = this.plan.phases[phase];
      if (stretch === undefined) {
        throw new RangeError(
          `Cannot run phase ${phase}: plan ${this.plan.name} has only ${
            Object.keys(this.plan.phases).join(", ")
          }`,
        );
      }
      for (const step of this.#steps.slice(...stretch)) step();
    }
  }

  destroy(): void {
    this.#release();
  }
}

/** The call of one kernel on the memory of its operands. */
function bind(
  dispatch: Dispatch,
  buffers: readonly ReferenceBuffer[],
): () => void {
  const memoryOf = ({ buffer, offset, length }: Operand) =>
    buffers[buffer]!.memory.subarray(offset, offset + length);
  const outputs = dispatch.outputs.map(memoryOf);
  const inputs = dispatch.inputs.map(memoryOf);
  // The one place where kernels of different signatures are called; checkPlan stands guard.
  const kernel = referenceKernels[dispatch.kernel];
  return () =>
    kernel(outputs as never, inputs as never, dispatch.dims as never);
}
