/**
 * Reading of prompts: encodes them in pieces, in a batch of one row, and moves their keys and values to the rows where
 * they are continued. In a batch of many rows a piece of 16 tokens would cost 16 tokens of every row.
 */

import type { DeviceBuffer } from "../backends/backend.ts";
import type { Plan } from "../graph/plan.ts";
import { Generation } from "./generation.ts";
import type { ModelInternals } from "./internals.ts";

/** Tokens of a piece: all other rows wait while it is encoded. */
export const PIECE = 16;

/** Reads prompts for the rows of a generation. */
export class PromptReader {
  readonly #target: Generation;
  readonly #own: Generation;
  /** Row whose prompt was read last and is not complete. */
  #row: number | undefined;

  /**
   * Creates a reader.
   *
   * @param target generation whose rows continue the prompts
   * @param plans plans of one row, for up to {@linkcode PIECE} tokens
   */
  constructor(
    model: ModelInternals,
    target: Generation,
    plans: ReadonlyMap<number, Plan>,
  ) {
    this.#target = target;
    this.#own = new Generation(model, { rows: 1, plans, onSlide: undefined });
  }

  /** Encodes a piece of a row's history; returns the buffer of the logits after its last token (V) if the piece has it. */
  async read(
    row: number,
    history: readonly number[],
  ): Promise<DeviceBuffer | undefined> {
    if (this.#row !== row) {
      await this.#save();
      this.#own.reset(0);
      await this.#own.takeRow(0, this.#target, row);
      this.#row = row;
    }
    const logits = await this.#own.encode([history], PIECE);
    if (!this.#own.holds(0, history.length)) return undefined;
    await this.#save();
    return logits;
  }

  /** Forgets a row that another text gets. */
  forget(row: number): void {
    if (this.#row === row) this.#row = undefined;
  }

  /** Moves what was read to its row. */
  async #save(): Promise<void> {
    const row = this.#row;
    this.#row = undefined;
    if (row !== undefined) await this.#target.takeRow(row, this.#own, 0);
  }

  destroy(): void {
    this.#own.destroy();
  }
}
