/** Pairs of tokens with their counts, in typed arrays: a long text has millions of them, and objects would take gigabytes. */

import { hash } from "../hash.ts";

/** Most tokens: a pair is one number of 32 bits, `left · 65,536 + right`. */
export const MOST_TOKENS: number = 2 ** 16;

/** Mark of an empty place, and the end of a list. */
const NONE = -1;

/**
 * Hash table (open addressing) from a pair to its count and to the first of its occurrences. Pairs that occur no more
 * are dropped when the table grows.
 */
export class PairTable {
  #keys = new Uint32Array(1 << 12);
  /** First occurrence; NONE for a pair without one. */
  #heads = new Int32Array(1 << 12).fill(NONE);
  #counts = new Float64Array(1 << 12);
  #isTaken = new Uint8Array(1 << 12);
  #taken = 0;

  /** Returns the place of a pair, which is valid until the next call; a new pair gets one. */
  placeOf(pair: number): number {
    if (2 * this.#taken >= this.#keys.length) this.#grow();
    const place = this.#find(pair);
    if (this.#isTaken[place] === 0) {
      this.#isTaken[place] = 1;
      this.#keys[place] = pair;
      this.#taken++;
    }
    return place;
  }

  /** Returns how often a pair occurs. */
  count(pair: number): number {
    return this.#counts[this.#find(pair)]!;
  }

  /** Changes the count at a place. */
  add(place: number, by: number): void {
    this.#counts[place]! += by;
  }

  /** Returns the first occurrence of the pair at a place; -1 if it has none. */
  head(place: number): number {
    return this.#heads[place]!;
  }

  /** Sets the first occurrence at a place. */
  setHead(place: number, at: number): void {
    this.#heads[place] = at;
  }

  /** Removes a pair's count and occurrences. */
  clear(pair: number): void {
    const place = this.#find(pair);
    this.#counts[place] = 0;
    this.#heads[place] = NONE;
  }

  #find(pair: number): number {
    const mask = this.#keys.length - 1;
    let place = hash(pair, 0) & mask;
    while (this.#isTaken[place] === 1 && this.#keys[place] !== pair) {
      place = (place + 1) & mask;
    }
    return place;
  }

  #grow(): void {
    const [keys, heads, counts] = [this.#keys, this.#heads, this.#counts];
    const alive = counts.reduce((sum, count) => count > 0 ? sum + 1 : sum, 0);
    let size = keys.length;
    while (4 * alive > size) size *= 2;
    this.#keys = new Uint32Array(size);
    this.#heads = new Int32Array(size).fill(NONE);
    this.#counts = new Float64Array(size);
    this.#isTaken = new Uint8Array(size);
    this.#taken = alive;
    for (let old = 0; old < keys.length; old++) {
      if (counts[old] === 0) continue;
      const place = this.#find(keys[old]!);
      this.#isTaken[place] = 1;
      this.#keys[place] = keys[old]!;
      this.#heads[place] = heads[old]!;
      this.#counts[place] = counts[old]!;
    }
  }
}

/** A heap of pairs with the counts that they had: the largest count is on top; of equal counts, the smallest pair. */
export class PairHeap {
  #counts = new Float64Array(1 << 10);
  #pairs = new Uint32Array(1 << 10);
  #length = 0;

  /** Number of entries. */
  get length(): number {
    return this.#length;
  }

  /** Count and pair on top of a heap that is not empty. */
  get top(): readonly [count: number, pair: number] {
    return [this.#counts[0]!, this.#pairs[0]!];
  }

  /** Adds a pair. */
  push(count: number, pair: number): void {
    if (this.#length === this.#pairs.length) this.#grow();
    let at = this.#length++;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!this.#isBelow(up, count, pair)) break;
      this.#move(up, at);
      at = up;
    }
    this.#set(at, count, pair);
  }

  /** Removes the pair on top. */
  pop(): void {
    const last = --this.#length;
    const count = this.#counts[last]!;
    const pair = this.#pairs[last]!;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= last) break;
      const other = down + 1;
      if (
        other < last &&
        this.#isBelow(down, this.#counts[other]!, this.#pairs[other]!)
      ) down = other;
      if (this.#isBelow(down, count, pair)) break;
      this.#move(down, at);
      at = down;
    }
    this.#set(at, count, pair);
  }

  /** Returns whether the entry at a place comes after a pair. */
  #isBelow(place: number, count: number, pair: number): boolean {
    const here = this.#counts[place]!;
    return here === count ? this.#pairs[place]! > pair : here < count;
  }

  #move(from: number, to: number): void {
    this.#set(to, this.#counts[from]!, this.#pairs[from]!);
  }

  #set(at: number, count: number, pair: number): void {
    this.#counts[at] = count;
    this.#pairs[at] = pair;
  }

  #grow(): void {
    const counts = new Float64Array(2 * this.#length);
    const pairs = new Uint32Array(2 * this.#length);
    counts.set(this.#counts);
    pairs.set(this.#pairs);
    this.#counts = counts;
    this.#pairs = pairs;
  }
}
