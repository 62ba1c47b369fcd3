/**
 * What the library needs of a model and its users do not: parameters as they lie on the device.
 * `Model` creates it; `mod.ts` does not export it.
 */

import {
  type DeviceBuffer,
  type Executor,
  OutOfMemoryError,
  type Program,
  type Stores,
} from "../backends/backend.ts";
import type { ParameterLayout } from "../graph/layout.ts";
import type { Plan } from "../graph/plan.ts";
import type { Model } from "./model.ts";
import { Programs } from "./programs.ts";

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
  /** Programs that evaluate, by the shape of their batches. They share the store of losses, so only one runs at a time. */
  readonly evaluations: Programs = new Programs({ count: 8, bytes: 2 ** 26 });
  /** The program that trains, by its trainer: one trainer's at a time. */
  readonly trainings: Programs = new Programs({ count: 1 });
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

  /** Makes a store. */
  async store(name: string, length: number): Promise<DeviceBuffer> {
    const spec = { name, kind: "store", dtype: "f32", length } as const;
    const store = await this.executor.createStore(spec);
    this.#stores.set(name, store);
    return store;
  }

  /** Compiles a plan on the model's stores; the program lives as long as the model. */
  compile(plan: Plan): Promise<Program> {
    const program = this.bind(plan);
    this.#programs.push(program);
    return program;
  }

  /**
   * Compiles a plan for a caller that destroys the program. What the model keeps compiled makes room for it, if need be.
   *
   * @param stores the model's, if left out
   */
  async bind(plan: Plan, stores: Stores = this.stores): Promise<Program> {
    try {
      return await this.executor.compile(plan, stores);
    } catch (error) {
      if (!(error instanceof OutOfMemoryError) || !this.freeIdle()) throw error;
      return await this.executor.compile(plan, stores);
    }
  }

  /**
   * Refuses plans that do not fit all at once, with what the model keeps compiled freed for them, if need be.
   *
   * @param action what they are for, e.g. `train`
   * @throws {OutOfMemoryError} with all that they take, and all that there is for them
   * @throws {RangeError} if the device cannot run one of them, however much memory there is
   */
  checkRoom(action: string, plans: readonly Plan[]): void {
    const { executor, stores } = this;
    const missing = () => executor.measure(plans, stores);
    const isEnough = () => missing() <= (executor.room ?? Infinity);
    if (isEnough() || (this.freeIdle() && isEnough())) return;
    const needed = executor.measure(plans);
    const room = executor.room! + needed - missing();
    throw new OutOfMemoryError(action, { needed, room });
  }

  /** Frees the programs that nobody uses at present; returns whether there were any. */
  freeIdle(): boolean {
    return [this.evaluations, this.trainings]
      .map((programs) => programs.freeIdle()).includes(true);
  }

  /** Frees programs and stores. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    // The caller of `compile` got the error of a program that did not compile.
    const programs = await Promise.allSettled(this.#programs);
    await this.evaluations.dispose();
    await this.trainings.dispose();
    for (const program of programs) {
      if (program.status === "fulfilled") program.value.destroy();
    }
    for (const store of this.#stores.values()) store.destroy();
    this.#stores.clear();
  }
}
