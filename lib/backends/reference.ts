/**
 * The reference executor: every plan in float64, one plain loop after another.
 * It is the oracle that the other backends and the gradients are tested against,
 * so it is written to be checked by eye, not to be fast. The kernels are in
 * `kernels/reference/`.
 */

import type { BufferSpec, Dispatch, Operand, Plan } from "../graph/plan.ts";
import {
  type Numbers,
  OutOfMemoryError,
  type Program,
  type Stores,
} from "./backend.ts";
import { BoundBuffer } from "./buffer.ts";
import {
  bindProgram,
  BoundProgram,
  bufferBytes,
  type DispatchRange,
  OpenBackend,
  type ProgramMemory,
} from "./program.ts";
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
export function openReference(): OpenBackend {
  return new ReferenceBackend();
}

class ReferenceBackend extends OpenBackend {
  readonly kind = "reference";
  override readonly halves = true;
  readonly description = "reference: float64, one thread";
  /** Undefined: JavaScript engines do not report free memory. */
  readonly room = undefined;
  protected readonly lost = undefined;
  readonly buffers = new Set<ReferenceBuffer>();

  get allocatedBytes(): number {
    return this.buffers.values()
      .reduce((bytes, { memory }) => bytes + memory.byteLength, 0);
  }

  bytesOf({ dtype, length }: BufferSpec): number {
    return (dtype === "f32" ? 8 : 4) * length;
  }

  allocate(spec: BufferSpec): ReferenceBuffer {
    return new ReferenceBuffer(spec, this);
  }

  measure(plans: readonly Plan[], stores?: Stores): number {
    return bufferBytes(plans.map(withRoom), stores, this);
  }

  compile(plan: Plan, stores: Stores): Promise<Program> {
    return bindProgram(withRoom(plan), stores, this, (memory) => {
      memory.allocate();
      return new ReferenceProgram(memory);
    });
  }

  protected close(): Promise<void> {
    this.buffers.clear();
    return Promise.resolve();
  }
}

class ReferenceBuffer extends BoundBuffer<ReferenceBackend> {
  readonly memory: F64 | I32;

  constructor(spec: BufferSpec, backend: ReferenceBackend) {
    super(spec, backend);
    const MemoryArray = spec.dtype === "f32" ? Float64Array : Int32Array;
    try {
      this.memory = new MemoryArray(spec.length);
    } catch {
      const sizes = { needed: backend.bytesOf(spec), room: undefined };
      throw new OutOfMemoryError(`allocate ${spec.name}`, sizes);
    }
    backend.buffers.add(this);
    // NaN makes visible that a plan reads a slot before writing it.
    if (spec.kind === "slot" && spec.dtype === "f32") this.memory.fill(NaN);
  }

  protected set(data: ArrayLike<number>, offset: number): void {
    this.memory.set(data, offset);
  }

  protected get(offset: number, length: number): Numbers {
    return this.memory.slice(offset, offset + length);
  }

  protected free(): void {
    this.backend.buffers.delete(this);
  }
}

class ReferenceProgram extends BoundProgram<ReferenceBuffer> {
  /** One call for each dispatch of the plan. */
  readonly #calls: readonly (() => void)[];

  constructor(memory: ProgramMemory<ReferenceBuffer>) {
    super(memory);
    this.#calls = this.plan.dispatches.map((dispatch) =>
      bind(dispatch, memory.buffers)
    );
  }

  protected runRanges(ranges: readonly DispatchRange[]): void {
    for (const [from, to] of ranges) {
      for (const call of this.#calls.slice(from, to)) call();
    }
  }
}

/** Returns a plan whose slots have an element for each float16 number, of which a word of other backends holds two. */
function withRoom(plan: Plan): Plan {
  const halved = new Set(
    plan.dispatches.flatMap(({ outputs, inputs }) => [...outputs, ...inputs])
      .filter(({ dtype }) => dtype === "f16").map(({ buffer }) => buffer),
  );
  const buffers = plan.buffers.map((spec, i) =>
    halved.has(i) ? { ...spec, length: 2 * spec.length } : spec
  );
  return { ...plan, buffers };
}

/** Returns a function that calls one kernel on the memory of its operands, and rounds float16 outputs. */
function bind(
  dispatch: Dispatch,
  buffers: readonly ReferenceBuffer[],
): () => void {
  const memoryOf = ({ buffer, offset, length, dtype }: Operand) => {
    const from = dtype === "f16" ? 2 * offset : offset;
    return buffers[buffer]!.memory.subarray(from, from + length);
  };
  const outputs = dispatch.outputs.map(memoryOf);
  const inputs = dispatch.inputs.map(memoryOf);
  // The one place where kernels of different signatures are called; checkPlan has checked the operands.
  const kernel = referenceKernels[dispatch.kernel];
  const halves = outputs.filter((_, i) => dispatch.outputs[i]!.dtype === "f16");
  return () => {
    kernel(outputs as never, inputs as never, dispatch.dims as never);
    for (const half of halves) {
      half.forEach((x, i) => half[i] = Math.f16round(x));
    }
  };
}
