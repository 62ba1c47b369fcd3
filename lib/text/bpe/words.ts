/**
 * The distinct pieces of a text as tokens, and the places of each pair of tokens in them.
 *
 * All pieces follow one another in typed arrays, with an empty place before and after each. A token is stored at the
 * place of its first byte; its number of bytes is there and at its last byte, so that the tokens before and after it are
 * found. The places of a pair, those of its left tokens, are a doubly linked list.
 */

import { MOST_TOKENS, PairHeap, PairTable } from "./pairs.ts";

/** End of a list. */
const NONE = -1;
/** Mark, in place of a link, of a place that is not in a list. */
const FREE = -2;
/** Mark of a place whose pair is being merged. */
const PENDING = -3;

/** Pieces as tokens. */
export class Words {
  /** Token by place. */
  readonly #ids: Uint16Array;
  /** Bytes of the token by the places of its first and of its last byte; 0 between words. */
  readonly #sizes: Uint16Array;
  /** Number of the word by place. */
  readonly #words: Int32Array;
  /** Next and previous place of the same pair. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** Number of times that each word occurs. */
  readonly #counts: Float64Array;
  readonly #pairs = new PairTable();
  readonly #heap = new PairHeap();
  /** Pairs that the current merge makes. */
  readonly #fresh = new Set<number>();

  constructor(counts: ReadonlyMap<string, number>) {
    const encoder = new TextEncoder();
    // A piece has at most 256 units, of at most 3 bytes each.
    const bytes = new Uint8Array(1024);
    let length = 1;
    let words = 0;
    for (const piece of counts.keys()) {
      const { written } = encoder.encodeInto(piece, bytes);
      if (written < 2) continue;
      length += written + 1;
      words++;
    }
    this.#ids = new Uint16Array(length);
    this.#sizes = new Uint16Array(length);
    this.#words = new Int32Array(length);
    this.#next = new Int32Array(length);
    this.#previous = new Int32Array(length).fill(FREE);
    this.#counts = new Float64Array(words);
    let at = 1;
    let word = 0;
    for (const [piece, count] of counts) {
      const { written } = encoder.encodeInto(piece, bytes);
      if (written < 2) continue;
      this.#ids.set(bytes.subarray(0, written), at);
      this.#sizes.fill(1, at, at + written);
      this.#words.fill(word, at, at + written);
      this.#counts[word++] = count;
      for (let i = at; i < at + written - 1; i++) this.#link(i, count);
      at += written + 1;
    }
    this.#queue();
  }

  /** Returns the pair that occurs most often, and at least twice, as two tokens. */
  mostFrequent(): [left: number, right: number] | undefined {
    while (this.#heap.length > 0) {
      const [count, pair] = this.#heap.top;
      this.#heap.pop();
      const now = this.#pairs.count(pair);
      if (now < 2) continue;
      if (now === count) {
        return [Math.floor(pair / MOST_TOKENS), pair % MOST_TOKENS];
      }
      this.#heap.push(now, pair); // Other merges have taken some of its occurrences.
    }
    return undefined;
  }

  /** Replaces a pair by a token in all words. */
  merge(left: number, right: number, id: number): void {
    const [ids, sizes] = [this.#ids, this.#sizes];
    const places = this.#take(left * MOST_TOKENS + right);
    // Only a pair of equal tokens can overlap itself; it is merged from the left.
    if (left === right) places.sort();
    for (const at of places) {
      if (this.#previous[at] !== PENDING) continue; // The pair before it has taken its left token.
      const by = this.#counts[this.#words[at]!]!;
      const middle = at + sizes[at]!;
      const end = middle + sizes[middle]!;
      const before = at - sizes[at - 1]!;
      if (before < at) this.#unlink(before, by);
      if (sizes[end] !== 0) this.#unlink(middle, by);
      ids[at] = id;
      sizes[at] = sizes[end - 1] = end - at;
      this.#previous[at] = FREE;
      if (before < at) this.#link(before, by);
      if (sizes[end] !== 0) this.#link(at, by);
    }
    this.#queue();
  }

  /** Returns the pair whose left token is at a place. */
  #pairAt(at: number): number {
    return this.#ids[at]! * MOST_TOKENS + this.#ids[at + this.#sizes[at]!]!;
  }

  /** Removes all places of a pair from its list, and returns them. */
  #take(pair: number): Int32Array {
    const head = this.#pairs.head(this.#pairs.placeOf(pair));
    let length = 0;
    for (let at = head; at !== NONE; at = this.#next[at]!) length++;
    const places = new Int32Array(length);
    let taken = 0;
    for (let at = head; at !== NONE; at = this.#next[at]!) {
      places[taken++] = at;
      this.#previous[at] = PENDING;
    }
    this.#pairs.clear(pair);
    return places;
  }

  /** Adds a place to the list of its pair. */
  #link(at: number, by: number): void {
    const pair = this.#pairAt(at);
    const place = this.#pairs.placeOf(pair);
    const head = this.#pairs.head(place);
    if (head === NONE) this.#fresh.add(pair);
    else this.#previous[head] = at;
    this.#next[at] = head;
    this.#previous[at] = NONE;
    this.#pairs.setHead(place, at);
    this.#pairs.add(place, by);
  }

  /** Removes a place from the list of its pair. */
  #unlink(at: number, by: number): void {
    const previous = this.#previous[at]!;
    this.#previous[at] = FREE;
    if (previous === PENDING) return; // Its list is gone already.
    const place = this.#pairs.placeOf(this.#pairAt(at));
    const next = this.#next[at]!;
    if (previous === NONE) this.#pairs.setHead(place, next);
    else this.#next[previous] = next;
    if (next !== NONE) this.#previous[next] = previous;
    this.#pairs.add(place, -by);
  }

  /** Puts the new pairs into the heap. */
  #queue(): void {
    for (const pair of this.#fresh) {
      const count = this.#pairs.count(pair);
      if (count >= 2) this.#heap.push(count, pair);
    }
    this.#fresh.clear();
  }
}
