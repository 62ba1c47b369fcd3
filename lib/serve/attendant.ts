/** Computes the attention of a text's last token for `/lm/attention`: one request at a time, because a full pass delays all texts. */

import { attentionMaps } from "../model/attention_maps.ts";
import type { Model } from "../model/model.ts";
import { ApiError } from "./api_error.ts";

/** Most tokens of a text that are attended to; all texts under way wait for them. */
const MOST_TOKENS = 256;

/** Most requests that wait for their turn. */
const MOST_WAITING = 8;

/** Attention of the last token of a text. */
export interface LastAttention {
  /** Number of tokens at the beginning that the model did not see. */
  readonly from: number;
  /** Probabilities by layer, head, and token from `from` on, to four decimals. */
  readonly weights: readonly (readonly (readonly number[])[])[];
}

/** Computes attention for one request after the other. */
export class Attendant {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /**
   * Returns the attention of the last token.
   *
   * @throws {ApiError} if too many requests wait
   */
  async attend(model: Model, ids: readonly number[]): Promise<LastAttention> {
    if (this.#waiting > MOST_WAITING) {
      const message = `${MOST_WAITING} requests already wait; try again later`;
      throw new ApiError(429, message, { code: "queue_full" });
    }
    this.#waiting++;
    const turn = this.#last.then(() => attentionOfLast(model, ids));
    this.#last = turn.catch(() => {}); // The next request does not mind.
    try {
      return await turn;
    } finally {
      this.#waiting--;
    }
  }
}

async function attentionOfLast(
  model: Model,
  ids: readonly number[],
): Promise<LastAttention> {
  const most = Math.min(MOST_TOKENS, model.config.blockSize);
  const seen = Int32Array.from(ids.slice(-most));
  const T = seen.length;
  const layers = await attentionMaps(model, seen, { first: T - 1 });
  const weights = layers.map((rows) =>
    Array.from(
      { length: rows.length / T },
      (_, head) => Array.from(rows.subarray(head * T, (head + 1) * T), rounded),
    )
  );
  return { from: ids.length - T, weights };
}

function rounded(share: number): number {
  return Math.round(1e4 * share) / 1e4;
}
