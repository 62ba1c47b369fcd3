/**
 * Known mistakes, planted in a backend to show that a check can fail. A mistake replaces or removes
 * dispatches of a plan, computes dispatches with a wrong kernel on the host, or replaces data that
 * the host writes. The backend computes everything else at its normal speed.
 */

import type { KernelName } from "../../kernels/vocabulary.ts";
import {
  type Backend,
  type BackendKind,
  type DeviceBuffer,
  type Executor,
  executorOf,
  type Numbers,
  type Program,
  type Stores,
} from "../backends/backend.ts";
import type { ReferenceKernel } from "../../kernels/reference/kernel.ts";
import type { BufferSpec, Dispatch, Operand, Plan } from "../graph/plan.ts";
import { refusal } from "../refusal.ts";

/** A mistake to plant. */
export interface Mistake {
  /** Replaces a plan; applied before the other fields. */
  readonly plan?: (plan: Plan) => Plan;
  /** Replaces a dispatch of a plan; undefined removes it. */
  readonly dispatch?: (dispatch: Dispatch, plan: Plan) => Dispatch | undefined;
  /** Kernels that the host computes in place of the backend, whose memory must be readable by the host. */
  readonly kernels?: {
    readonly [Name in KernelName]?: ReferenceKernel<Name>;
  };
  /** Replaces the data that the host writes to an input. */
  readonly write?: (name: string, data: ArrayLike<number>) => ArrayLike<number>;
  /** Callback before each run of a program. */
  readonly run?: (program: Program) => void;
}

/**
 * Returns a backend that wraps another one and makes a mistake. Disposing of the wrapper disposes
 * of the wrapped backend.
 *
 * @param options.kind kind that the wrapper reports
 */
export function plant(
  mistake: Mistake,
  inner: Backend,
  { kind = inner.kind }: { readonly kind?: BackendKind } = {},
): Executor {
  return new PlantedBackend(mistake, inner, kind);
}

class PlantedBackend implements Executor {
  readonly kind: BackendKind;
  readonly description: string;
  readonly #inner: Executor;
  readonly #mistake: Mistake;

  constructor(mistake: Mistake, inner: Backend, kind: BackendKind) {
    this.kind = kind;
    this.description = `${inner.description}, with a mistake`;
    this.#inner = executorOf(inner);
    this.#mistake = mistake;
  }

  get halves(): boolean {
    return this.#inner.halves;
  }

  get blas(): Backend["blas"] {
    return this.#inner.blas;
  }

  get allocatedBytes(): number {
    return this.#inner.allocatedBytes;
  }

  get room(): number | undefined {
    return this.#inner.room;
  }

  createStore(spec: BufferSpec): Promise<DeviceBuffer> {
    return this.#inner.createStore(spec);
  }

  measure(plans: readonly Plan[], stores?: Stores): number {
    return this.#inner.measure(plans, stores);
  }

  async compile(plan: Plan, stores: Stores): Promise<Program> {
    const { kernels = {} } = this.#mistake;
    const wrong = exchange(this.#mistake.plan?.(plan) ?? plan, this.#mistake);
    const onHost = wrong.dispatches.flatMap(({ kernel }, at) =>
      kernel in kernels ? [at] : []
    );
    const reached = reachable(wrong, onHost);
    const program = await this.#inner.compile(reached, stores);
    return new PlantedProgram(program, { mistake: this.#mistake, onHost });
  }

  finish(): Promise<void> {
    return this.#inner.finish();
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#inner[Symbol.asyncDispose]();
  }
}

/** Returns a plan with other dispatches; the ends of phases move if dispatches are removed. */
function exchange(plan: Plan, { dispatch = (right) => right }: Mistake): Plan {
  const exchanged = plan.dispatches.map((right) => dispatch(right, plan));
  const moved = (at: number) =>
    exchanged.slice(0, at).filter((dispatch) => dispatch !== undefined).length;
  return {
    ...plan,
    dispatches: exchanged.filter((dispatch) => dispatch !== undefined),
    phases: Object.fromEntries(
      Object.entries(plan.phases).map(([name, [from, to]]) => [
        name,
        [moved(from), moved(to)] as const,
      ]),
    ),
  };
}

/** Returns a plan with a phase for each dispatch at `places`, whose operands the host can read and write. */
function reachable(plan: Plan, places: readonly number[]): Plan {
  if (places.length === 0) return plan;
  const touched = new Set(
    places.flatMap((at) => {
      const { outputs, inputs } = plan.dispatches[at]!;
      return [...outputs, ...inputs].map(({ buffer }) => buffer);
    }),
  );
  const ends = rangesOf(plan, places);
  return {
    ...plan,
    buffers: plan.buffers.map((spec, i) =>
      touched.has(i) && spec.kind === "slot"
        ? { ...spec, kind: "output" }
        : spec
    ),
    phases: {
      ...plan.phases,
      ...Object.fromEntries(ends.map((range) => [nameOf(range), range])),
    },
  };
}

type Range = readonly [from: number, to: number];

/** Splits a plan at the ends of its phases, and before and after the dispatches at `places`. */
function rangesOf(
  { dispatches, phases }: Plan,
  places: readonly number[],
): Range[] {
  const cuts = new Set([
    ...[0, dispatches.length],
    ...Object.values(phases).flat(),
    ...places.flatMap((at) => [at, at + 1]),
  ]);
  const ends = [...cuts].sort((a, b) => a - b);
  return ends.slice(1).map((to, i) => [ends[i]!, to]);
}

function nameOf([from, to]: Range): string {
  return `dispatches ${from} to ${to}`;
}

class PlantedProgram implements Program {
  readonly #inner: Program;
  readonly #mistake: Mistake;
  readonly #onHost: ReadonlySet<number>;
  readonly #ranges: readonly Range[];

  constructor(inner: Program, { mistake, onHost }: {
    readonly mistake: Mistake;
    readonly onHost: readonly number[];
  }) {
    this.#inner = inner;
    this.#mistake = mistake;
    this.#onHost = new Set(onHost);
    this.#ranges = onHost.length === 0 ? [] : rangesOf(inner.plan, onHost);
  }

  get plan(): Plan {
    return this.#inner.plan;
  }

  get bytes(): number {
    return this.#inner.bytes;
  }

  buffer(name: string): DeviceBuffer {
    const buffer = this.#inner.buffer(name);
    const { write } = this.#mistake;
    if (write === undefined) return buffer;
    return {
      spec: buffer.spec,
      write: (data, offset) => buffer.write(write(name, data), offset),
      read: (offset, length) => buffer.read(offset, length),
      copy: (source, range) => buffer.copy(source, range),
      destroy: () => buffer.destroy(),
    };
  }

  run(phases?: readonly string[]): void {
    this.#mistake.run?.(this);
    if (this.#onHost.size === 0) return this.#inner.run(phases);
    const { dispatches, phases: known } = this.plan;
    const ranges = phases?.map((name) => known[name]!) ??
      [[0, dispatches.length] as const];
    for (const [first, end] of ranges) {
      for (const range of this.#ranges) {
        const [from, to] = range;
        if (from < first || to > end) continue;
        if (this.#onHost.has(from)) this.#compute(dispatches[from]!);
        else this.#inner.run([nameOf(range)]);
      }
    }
  }

  #compute({ kernel, outputs, inputs, dims }: Dispatch): void {
    const content = (operand: Operand) => this.#memoryOf(operand).slice();
    const results = outputs.map(content);
    // Kernels of different signatures are called alike, as the reference does.
    this.#mistake.kernels![kernel]!(
      results as never,
      inputs.map(content) as never,
      dims as never,
    );
    outputs.forEach((operand, i) =>
      this.#bufferOf(operand).write(results[i]!, operand.offset)
    );
  }

  #memoryOf(operand: Operand): Numbers {
    const { memory } = this.#bufferOf(operand);
    if (memory === undefined) {
      throw refusal(
        RangeError,
        "compute a wrong kernel on the host",
        "the host does not reach the backend's memory",
      );
    }
    return memory.subarray(operand.offset, operand.offset + operand.length);
  }

  #bufferOf({ buffer }: Operand): DeviceBuffer {
    return this.#inner.buffer(this.plan.buffers[buffer]!.name);
  }

  destroy(): void {
    this.#inner.destroy();
  }
}
