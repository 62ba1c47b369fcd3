/** What a text has copied from another. */

import { hash } from "./hash.ts";
import { TooLargeError } from "./too_large.ts";

/** A stretch of a text, in UTF-16 units. */
export interface Span {
  /** Where it begins. */
  readonly start: number;
  /** How long it is. */
  readonly length: number;
}

/**
 * Returns the longest stretch of a text that also stands in another one; the first of several
 * that are equally long. A suffix automaton of the shorter one (Blumer et al. 1985) reads the
 * other: the time grows with the sum of both lengths, and so do the up to 60 bytes that each
 * UTF-16 unit of the shorter one takes.
 *
 * @param options.signal ends the work when its `throwIfAborted`, called every 65,536 characters, throws
 * @throws {RangeError} if the shorter text has more than 2^29 UTF-16 units
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { longestSharedSpan } from "@lm/core";
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

/** After so many characters a signal is asked again. */
const ASKED = 2 ** 16;

/** No state. */
const NONE = -1;

/**
 * Accepts the substrings of a text, each state being those that end at the same places. All of
 * it is in typed arrays: a `Map` holds 2^24 entries at most. Most states lead on by one code,
 * which is kept with the state; the others' further codes are found by hashing (open addressing).
 */
class SuffixAutomaton {
  /** The state of the longest suffix that ends at more places; NONE at the start. */
  readonly #link: Int32Array;
  /** The longest substring of each state. */
  readonly #length: Int32Array;
  /** Where each state's substrings end first. */
  readonly #end: Int32Array;
  /** The first code that leads on from each state, and where to; NONE if nothing does. */
  readonly #firstCode: Uint16Array;
  readonly #firstTarget: Int32Array;
  /** The last further edge of each state; NONE if there is none. */
  readonly #lastEdge: Int32Array;
  #states = 0;
  /** Further edges: from which state, by which code, where to, and the edge before of the same state. */
  #source = new Int32Array(1 << 8);
  #code = new Uint16Array(1 << 8);
  #target = new Int32Array(1 << 8);
  #before = new Int32Array(1 << 8);
  #edges = 0;
  /** One more than an edge's number, by hash; 0 where there is none. At most 3 of 4 places are taken. */
  #places = new Int32Array(1 << 9);
  readonly #signal: AbortSignal | undefined;

  constructor(text: string, signal: AbortSignal | undefined) {
    this.#signal = signal;
    if (text.length > 2 ** 29) {
      throw new TooLargeError(
        `Cannot compare texts: both have more than ${2 ** 29} characters`,
      );
    }
    // A text of n characters has at most 2n - 1 states, and one at its start.
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
   * Calls back for each place of another text with the longest stretch up to there that this one
   * has, where it first ends in this text, and where in the other.
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

  /** Where a code leads from a state; NONE if nowhere. */
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

  /** Makes room for half as many edges again, and for twice as many places where they are needed. */
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
