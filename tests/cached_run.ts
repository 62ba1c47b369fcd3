/** A model's cached plans, run by hand: each call continues every row of a cache. */

import type { DeviceBuffer, Numbers } from "../lib/backends/backend.ts";
import type { Model } from "../lib/language_model.ts";
import { cachedPlan } from "../lib/plans.ts";

/** One cache of B rows. Dispose of it when done. */
export class CachedRun implements AsyncDisposable {
  readonly #model: Model;
  readonly #B: number;
  readonly #stores: Map<string, DeviceBuffer>;
  readonly #filled: number[];

  constructor(model: Model, B: number) {
    this.#model = model;
    this.#B = B;
    this.#stores = new Map(model.stores);
    this.#filled = new Array(B).fill(0);
  }

  /**
   * Continues each row with new tokens, `padding` after them up to T.
   *
   * @returns the logits (B, V) after each row's last token
   */
  async feed(
    rows: readonly ArrayLike<number>[],
    options: { readonly T?: number; readonly padding?: number } = {},
  ): Promise<Numbers> {
    const longest = Math.max(...rows.map(({ length }) => length));
    const { T = longest, padding = 0 } = options;
    const { config, backend } = this.#model;
    const plan = cachedPlan(config, { B: this.#B, T });
    const program = await backend.compile(plan, this.#stores);
    const tokens = new Int32Array(this.#B * T).fill(padding);
    rows.forEach((row, b) => tokens.set(Array.from(row), b * T));
    program.buffer("tokens").write(tokens);
    program.buffer("start").write(this.#filled);
    program.buffer("count").write(rows.map(({ length }) => length));
    program.run();
    rows.forEach(({ length }, b) => this.#filled[b]! += length);
    const logits = await program.buffer("logits").read();
    program.destroy();
    return logits;
  }

  /** The keys and values of a layer: (B, L, 2·NKV·HS). */
  cache(layer: number): DeviceBuffer {
    return this.#stores.get(`h.${layer}.attn.cache`)!;
  }

  /** Frees the caches. */
  [Symbol.asyncDispose](): Promise<void> {
    for (const [name, store] of this.#stores) {
      if (!this.#model.stores.has(name)) store.destroy();
    }
    return Promise.resolve();
  }
}
