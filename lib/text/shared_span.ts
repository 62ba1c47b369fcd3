/** The longest span that two texts share. */

import { hash } from "./hash.ts";
import { refusal, TooLargeError } from "../refusal.ts";

/** A span of a text, in UTF-16 units. */
export interface Span {
  /** Index of its first unit. */
  readonly start: number;
  /** Number of units. */
  readonly length: number;
}

/**
 * Returns the longest span of a text that also occurs in another text; the first one if several
 * are equally long. A suffix automaton of the shorter text (Blumer et al. 1985) reads the longer
 * one. Time is linear in the sum of both lengths; memory is up to 60 bytes per UTF-16 unit of the
 * shorter text.
 *
 * @param options.signal aborts the work; checked every 65,536 characters
 * @throws {RangeError} if the shorter text has more than 2^29 UTF-16 units
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { longestSharedSpan } from "@lm/core/text";
 *
 * const span = longestSharedSpan("we shall be or not be", "to be or not to be");
 * assertEquals(span, { start: 8, length: 11 }); // " be or not "
 * ```
 */
export function longestSharedSpan(
  text: string,
  other: string,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Span {
  const indexed = text.length <= other.length;
  const automaton = new SuffixAutomaton(indexed ? text : other, signal);
  let best: Span = { start: 0, length: 0 };
  automaton.read(indexed ? other : text, (length, end, here) => {
    if (length < best.length) return;
    const start = (indexed ? end : here) - length;
    if (length > best.length || start < best.start) best = { start, length };
  });
  return best;
}

/** Characters between two checks of a signal. */
const ASKED = 2 ** 16;

/** Number that stands for no state. */
const NONE = -1;

/**
 * Suffix automaton of a text. A state stands for the substrings that end at the same positions.
 * States and edges are in typed arrays, since a `Map` holds at most 2^24 entries. Most states have
 * one outgoing edge, which is stored with the state; further edges are in a hash table (open
 * addressing).
 */
class SuffixAutomaton {
  /** Suffix link of each state: the state of its longest suffix that ends at more positions; NONE for the start. */
  readonly #link: Int32Array;
  /** Length of the longest substring of each state. */
  readonly #length: Int32Array;
  /** First position at which the substrings of each state end. */
  readonly #end: Int32Array;
  /** First outgoing edge of each state: its code and its target, NONE if there is no edge. */
  readonly #firstCode: Uint16Array;
  readonly #firstTarget: Int32Array;
  /** Last further edge of each state; NONE if there is none. */
  readonly #lastEdge: Int32Array;
  #states = 0;
  /** Further edges: source, code, target, and the previous further edge of the same state. */
  #source = new Int32Array(1 << 8);
  #code = new Uint16Array(1 << 8);
  #target = new Int32Array(1 << 8);
  #before = new Int32Array(1 << 8);
  #edges = 0;
  /** Hash table of edge numbers plus 1; 0 marks a free place. At most 3 of 4 places are taken. */
  #places = new Int32Array(1 << 9);
  readonly #signal: AbortSignal | undefined;

  constructor(text: string, signal: AbortSignal | undefined) {
    this.#signal = signal;
    if (text.length > 2 ** 29) {
      throw refusal(
        TooLargeError,
        "compare texts",
        `both have more than ${2 ** 29} characters`,
      );
    }
    // A text of n characters has at most 2n - 1 states and a start state.
    const most = Math.max(2, 2 * text.length);
    this.#link = new Int32Array(most);
    this.#length = new Int32Array(most);
    this.#end = new Int32Array(most);
    this.#firstCode = new Uint16Array(most);
    this.#firstTarget = new Int32Array(most).fill(NONE);
    this.#lastEdge = new Int32Array(most).fill(NONE);
    let last = this.#state(0, 0);
    this.#link[last] = NONE;
    for (let i = 0; i < text.length; i++) {
      if (i % ASKED === 0) signal?.throwIfAborted();
      last = this.#append(text.charCodeAt(i), { last, end: i + 1 });
    }
  }

  /**
   * Calls back at each position of another text with the length of the longest shared span that
   * ends there, its first end in this text, and its end in the other text.
   */
  read(
    other: string,
    found: (length: number, end: number, here: number) => void,
  ): void {
    let state = 0;
    let length = 0;
    for (let i = 0; i < other.length; i++) {
      if (i % ASKED === 0) this.#signal?.throwIfAborted();
      const code = other.charCodeAt(i);
      let next = this.#next(state, code);
      while (next === NONE && state > 0) {
        state = this.#link[state]!;
        length = this.#length[state]!;
        next = this.#next(state, code);
      }
      if (next === NONE) continue;
      state = next;
      length++;
      found(length, this.#end[state]!, i + 1);
    }
  }

  #append(
    code: number,
    { last, end }: { readonly last: number; readonly end: number },
  ): number {
    const fresh = this.#state(this.#length[last]! + 1, end);
    let state = last;
    let next = NONE;
    while (state !== NONE && (next = this.#next(state, code)) === NONE) {
      this.#lead(state, code, fresh);
      state = this.#link[state]!;
    }
    if (state === NONE) {
      this.#link[fresh] = 0;
      return fresh;
    }
    if (this.#length[next] === this.#length[state]! + 1) {
      this.#link[fresh] = next;
      return fresh;
    }
    const copy = this.#state(this.#length[state]! + 1, this.#end[next]!);
    this.#lead(copy, this.#firstCode[next]!, this.#firstTarget[next]!);
    for (
      let edge = this.#lastEdge[next]!;
      edge !== NONE;
      edge = this.#before[edge]!
    ) this.#lead(copy, this.#code[edge]!, this.#target[edge]!);
    this.#link[copy] = this.#link[next]!;
    while (state !== NONE && this.#next(state, code) === next) {
      this.#redirect(state, code, copy);
      state = this.#link[state]!;
    }
    this.#link[next] = copy;
    this.#link[fresh] = copy;
    return fresh;
  }

  #state(length: number, end: number): number {
    this.#length[this.#states] = length;
    this.#end[this.#states] = end;
    return this.#states++;
  }

  /** Returns the target of the edge with a code; NONE if there is no such edge. */
  #next(state: number, code: number): number {
    const first = this.#firstTarget[state]!;
    if (first === NONE || this.#firstCode[state] === code) return first;
    if (this.#lastEdge[state] === NONE) return NONE;
    const edge = this.#edge(state, code);
    return edge === NONE ? NONE : this.#target[edge]!;
  }

  #edge(state: number, code: number): number {
    const mask = this.#places.length - 1;
    let place = hash(state, code) & mask;
    for (;;) {
      const edge = this.#places[place]! - 1;
      if (
        edge === NONE ||
        (this.#source[edge] === state && this.#code[edge] === code)
      ) return edge;
      place = (place + 1) & mask;
    }
  }

  /** Adds an edge. */
  #lead(from: number, code: number, to: number): void {
    if (this.#firstTarget[from] === NONE) {
      this.#firstCode[from] = code;
      this.#firstTarget[from] = to;
      return;
    }
    if (this.#edges === this.#source.length) this.#grow();
    const edge = this.#edges++;
    this.#source[edge] = from;
    this.#code[edge] = code;
    this.#target[edge] = to;
    this.#before[edge] = this.#lastEdge[from]!;
    this.#lastEdge[from] = edge;
    this.#put(edge);
  }

  #redirect(from: number, code: number, to: number): void {
    if (this.#firstCode[from] === code) this.#firstTarget[from] = to;
    else this.#target[this.#edge(from, code)] = to;
  }

  #put(edge: number): void {
    const mask = this.#places.length - 1;
    let place = hash(this.#source[edge]!, this.#code[edge]!) & mask;
    while (this.#places[place] !== 0) place = (place + 1) & mask;
    this.#places[place] = edge + 1;
  }

  /** Grows the edge arrays by half, and doubles the hash table if needed. */
  #grow(): void {
    const length = this.#edges + (this.#edges >> 1);
    const grown = <Numbers extends Int32Array | Uint16Array>(
      old: Numbers,
      array: Numbers,
    ) => {
      array.set(old);
      return array;
    };
    this.#source = grown(this.#source, new Int32Array(length));
    this.#code = grown(this.#code, new Uint16Array(length));
    this.#target = grown(this.#target, new Int32Array(length));
    this.#before = grown(this.#before, new Int32Array(length));
    if (length <= this.#places.length * 3 / 4) return;
    this.#places = new Int32Array(2 * this.#places.length);
    for (let edge = 0; edge < this.#edges; edge++) {
      if (edge % ASKED === 0) this.#signal?.throwIfAborted();
      this.#put(edge);
    }
  }
}
