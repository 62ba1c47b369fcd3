/** Low-level runs of a model's cached plans. */

import type { DeviceBuffer, Numbers, Program } from "../backends/backend.ts";
import type { Model } from "../model/model.ts";
import { yieldIfDue } from "../model/parts.ts";
import { cachedPlan } from "../model/plans.ts";
import { internalsOf } from "../model/internals.ts";

/** A key/value cache of B rows, which every call of `feed` continues. Dispose of it after use. */
export class CachedRun implements AsyncDisposable {
  readonly #model: Model;
  readonly #B: number;
  readonly #stores: Map<string, DeviceBuffer>;
  readonly #programs = new Map<number, Program>();
  readonly #filled: number[];

  constructor(model: Model, B: number) {
    this.#model = model;
    this.#B = B;
    this.#stores = new Map(internalsOf(model).stores);
    this.#filled = new Array(B).fill(0);
  }

  /**
   * Continues each row with new tokens. Rows may have different numbers of tokens; shorter rows are padded.
   *
   * @returns the logits (B, V) after each row's last token
   */
  async feed(
    rows: readonly ArrayLike<number>[],
    padding = 0,
  ): Promise<Numbers> {
    await yieldIfDue();
    const isDecoding = rows.every(({ length }) => length === 1);
    const T = isDecoding ? 1 : this.#model.config.blockSize;
    const program = await this.#program(T);
    const tokens = new Int32Array(this.#B * T).fill(padding);
    rows.forEach((row, b) => tokens.set(Array.from(row), b * T));
    program.buffer("tokens").write(tokens);
    program.buffer("start").write(this.#filled);
    program.buffer("count").write(rows.map(({ length }) => length));
    program.run();
    rows.forEach(({ length }, b) => this.#filled[b]! += length);
    return await program.buffer("logits").read();
  }

  async #program(T: number): Promise<Program> {
    let program = this.#programs.get(T);
    if (program === undefined) {
      const { config } = this.#model;
      const { executor } = internalsOf(this.#model);
      const plan = cachedPlan(config, { B: this.#B, T });
      program = await executor.compile(plan, this.#stores);
      this.#programs.set(T, program);
    }
    return program;
  }

  /** Returns the keys and values of a layer: (B, L, 2·NKV·HS). */
  cache(layer: number): DeviceBuffer {
    return this.#stores.get(`h.${layer}.attn.cache`)!;
  }

  /** Frees the caches. */
  [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs.values()) program.destroy();
    for (const [name, store] of this.#stores) {
      if (!internalsOf(this.#model).stores.has(name)) store.destroy();
    }
    return Promise.resolve();
  }
}
