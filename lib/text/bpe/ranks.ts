/** Ranks of pairs of tokens, in typed arrays: encoding looks a pair up for each byte of a text. */

import { hash } from "../hash.ts";

/** Rank of a pair that is not merged. */
export const NO_RANK: number = 2 ** 31 - 1;

/** Hash table (open addressing) from a pair to its rank. */
export class RankTable {
  #left = new Int32Array(16);
  #right = new Int32Array(16);
  #ranks = new Int32Array(16).fill(NO_RANK);
  #size = 0;

  /** Returns the rank of a pair; {@linkcode NO_RANK} if it has none. */
  get(left: number, right: number): number {
    return this.#ranks[this.#find(left, right)]!;
  }

  /** Sets the rank of a pair. */
  set(left: number, right: number, rank: number): void {
    if (2 * this.#size >= this.#ranks.length) this.#grow();
    const place = this.#find(left, right);
    if (this.#ranks[place] === NO_RANK) this.#size++;
    this.#left[place] = left;
    this.#right[place] = right;
    this.#ranks[place] = rank;
  }

  #find(left: number, right: number): number {
    const mask = this.#ranks.length - 1;
    let place = hash(left, right) & mask;
    while (
      this.#ranks[place] !== NO_RANK &&
      (this.#left[place] !== left || this.#right[place] !== right)
    ) place = (place + 1) & mask;
    return place;
  }

  #grow(): void {
    const [left, right, ranks] = [this.#left, this.#right, this.#ranks];
    const length = 2 * ranks.length;
    this.#left = new Int32Array(length);
    this.#right = new Int32Array(length);
    this.#ranks = new Int32Array(length).fill(NO_RANK);
    this.#size = 0;
    ranks.forEach((rank, place) => {
      if (rank !== NO_RANK) this.set(left[place]!, right[place]!, rank);
    });
  }
}
