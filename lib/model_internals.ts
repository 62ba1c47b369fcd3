/**
 * What the library needs of a model and its users do not: parameters as they lie on the device.
 * `Model` creates it; `mod.ts` does not export it.
 */

import type { Executor, Program, Stores } from "./backends/backend.ts";
import type { ParameterLayout } from "./graph/layout.ts";
import type { Plan } from "./graph/plan.ts";
import type { Model } from "./language_model.ts";

const known = new WeakMap<Model, ModelInternals>();

/** Returns the internals of a model. */
export function internalsOf(model: Model): ModelInternals {
  return known.get(model)!;
}

/** A model's buffers and the programs bound to them. */
export class ModelInternals {
  /** What computes the model. */
  readonly executor: Executor;
  /** Where each parameter lies in the stores. */
  readonly layout: ParameterLayout;
  readonly #stores: Stores = new Map();
  readonly #programs: Promise<Program>[] = [];
  #disposed = false;

  /** Stores nothing yet. */
  constructor(model: Model, executor: Executor, layout: ParameterLayout) {
    this.executor = executor;
    this.layout = layout;
    known.set(model, this);
  }

  /**
   * Parameters (and, once trained, gradients and moments) and constants on the device, by name.
   *
   * @throws {TypeError} if the model was disposed
   */
  get stores(): Stores {
    if (!this.#disposed) return this.#stores;
    throw new TypeError("Cannot use model: it was disposed");
  }

  /** Makes a store with these values. */
  store(name: string, values: Float32Array | Float64Array): void {
    const { length } = values;
    const spec = { name, kind: "store", dtype: "f32", length } as const;
    const store = this.executor.createStore(spec);
    this.#stores.set(name, store);
    store.write(values);
  }

  /** Compiles a plan on the model's stores; the program lives as long as the model. */
  compile(plan: Plan): Promise<Program> {
    const program = this.executor.compile(plan, this.stores);
    this.#programs.push(program);
    return program;
  }

  /** Frees programs and stores. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    // The caller of `compile` got the error of a program that did not compile.
    const programs = await Promise.allSettled(this.#programs);
    for (const program of programs) {
      if (program.status === "fulfilled") program.value.destroy();
    }
    for (const store of this.#stores.values()) store.destroy();
    this.#stores.clear();
  }
}
