/**
 * Internal state of a model: its parameters on the device and its compiled programs. `Model`
 * creates the internals; `mod.ts` does not export them.
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
import type { ModelConfig } from "../config/model.ts";
import { Programs } from "./programs.ts";
import { refusal } from "../refusal.ts";

const known = new WeakMap<object, ModelInternals>();

/** Returns the internals of a `Model`, which this module cannot import: `model.ts` imports it. */
export function internalsOf(
  model: { readonly config: ModelConfig },
): ModelInternals {
  return known.get(model)!;
}

/** Buffers of a model and the programs bound to them. */
export class ModelInternals {
  /** Architecture of the model. */
  readonly config: ModelConfig;
  /** Backend that runs the model. */
  readonly executor: Executor;
  /** Offset of each parameter in the stores. */
  readonly layout: ParameterLayout;
  /** Evaluation programs, by batch shape. They share the store of losses, so only one runs at a time. */
  readonly evaluations: Programs = new Programs({ count: 8, bytes: 2 ** 26 });
  /** Training program, by trainer; only one trainer's program is kept. */
  readonly trainings: Programs = new Programs({ count: 1 });
  readonly #stores: Stores = new Map();
  readonly #programs: Promise<Program>[] = [];
  #disposed = false;

  /** Creates internals without stores. */
  constructor(
    model: { readonly config: ModelConfig },
    executor: Executor,
    layout: ParameterLayout,
  ) {
    this.config = model.config;
    this.executor = executor;
    this.layout = layout;
    known.set(model, this);
  }

  /**
   * Stores of the model on the device, by name: parameters, constants and, once trained, gradients and moments.
   *
   * @throws {TypeError} if the model was disposed
   */
  get stores(): Stores {
    if (!this.#disposed) return this.#stores;
    throw refusal(TypeError, "use model", "it was disposed");
  }

  /** Creates a store. */
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
   * Compiles a plan for a caller that destroys the program. If memory is short, idle programs of the model are freed.
   *
   * @param stores the model's stores by default
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
   * Throws if the plans do not all fit at once. If memory is short, idle programs of the model are freed.
   *
   * @param action purpose of the plans, e.g. `train`
   * @param fields configuration fields that the action names
   * @throws {OutOfMemoryError} with the memory that the plans need, and the memory available to them
   * @throws {RangeError} if the device cannot run one of the plans with any amount of memory
   */
  checkRoom(
    action: string,
    plans: readonly Plan[],
    fields?: readonly string[],
  ): void {
    this.checkRoomFor(action, [plans], fields);
  }

  /** Throws as {@linkcode ModelInternals.checkRoom} does, for groups of plans that each have separate caches. */
  checkRoomFor(
    action: string,
    groups: readonly (readonly Plan[])[],
    fields?: readonly string[],
  ): void {
    const { executor, stores } = this;
    const missing = () =>
      groups.reduce((sum, plans) => sum + executor.measure(plans, stores), 0);
    const isEnough = () => missing() <= (executor.room ?? Infinity);
    if (isEnough() || (this.freeIdle() && isEnough())) return;
    const plans = groups.flat();
    const present = executor.measure(plans) - executor.measure(plans, stores);
    const needed = missing() + present;
    const room = executor.room! + present;
    throw new OutOfMemoryError(action, { needed, room }, fields);
  }

  /** Frees all idle programs; returns whether there were any. */
  freeIdle(): boolean {
    return [this.evaluations, this.trainings]
      .map((programs) => programs.freeIdle()).includes(true);
  }

  /** Frees programs and stores. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    // If a program did not compile, the caller of `compile` has received its error.
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
