/** What a text has copied from another. */

/** A stretch of a text, in UTF-16 units. */
export interface Span {
  /** Where it begins. */
  readonly start: number;
  /** How long it is. */
  readonly length: number;
}

/**
 * The longest stretch of a text that also stands in another one; the first of several that are
 * equally long. A suffix automaton of the text (Blumer et al. 1985) reads the other: the time
 * grows with the sum of both lengths.
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
export function longestSharedSpan(text: string, other: string): Span {
  const automaton = new SuffixAutomaton(text);
  let best: Span = { start: 0, length: 0 };
  automaton.read(other, (length, end) => {
    const start = end - length;
    if (
      length > best.length || (length === best.length && start < best.start)
    ) best = { start, length };
  });
  return best;
}

/** Codes of UTF-16. */
const CODES = 65536;

/** Accepts the substrings of a text, each state being those that end at the same places. */
class SuffixAutomaton {
  /** By state · CODES + code. */
  readonly #next = new Map<number, number>();
  /** Codes that lead on from each state. */
  readonly #codes: number[][] = [[]];
  /** The state of the longest suffix that ends at more places; -1 at the start. */
  readonly #link: number[] = [-1];
  /** The longest substring of each state. */
  readonly #length: number[] = [0];
  /** Where each state's substrings end first. */
  readonly #end: number[] = [0];

  constructor(text: string) {
    let last = 0;
    for (let i = 0; i < text.length; i++) {
      last = this.#append(text.charCodeAt(i), { last, end: i + 1 });
    }
  }

  /** Tells, for each place of another text, the longest stretch up to there that this one has, and where it ends here. */
  read(other: string, tell: (length: number, end: number) => void): void {
    let state = 0;
    let length = 0;
    for (let i = 0; i < other.length; i++) {
      const code = other.charCodeAt(i);
      let next = this.#next.get(state * CODES + code);
      while (next === undefined && state > 0) {
        state = this.#link[state]!;
        length = this.#length[state]!;
        next = this.#next.get(state * CODES + code);
      }
      if (next === undefined) continue;
      state = next;
      length++;
      tell(length, this.#end[state]!);
    }
  }

  #append(
    code: number,
    { last, end }: { readonly last: number; readonly end: number },
  ): number {
    const fresh = this.#state(this.#length[last]! + 1, end);
    let state = last;
    while (state >= 0 && !this.#next.has(state * CODES + code)) {
      this.#lead(state, code, fresh);
      state = this.#link[state]!;
    }
    if (state < 0) {
      this.#link[fresh] = 0;
      return fresh;
    }
    const next = this.#next.get(state * CODES + code)!;
    if (this.#length[next] === this.#length[state]! + 1) {
      this.#link[fresh] = next;
      return fresh;
    }
    const copy = this.#state(this.#length[state]! + 1, this.#end[next]!);
    for (const each of this.#codes[next]!) {
      this.#lead(copy, each, this.#next.get(next * CODES + each)!);
    }
    this.#link[copy] = this.#link[next]!;
    while (state >= 0 && this.#next.get(state * CODES + code) === next) {
      this.#next.set(state * CODES + code, copy);
      state = this.#link[state]!;
    }
    this.#link[next] = copy;
    this.#link[fresh] = copy;
    return fresh;
  }

  #state(length: number, end: number): number {
    this.#codes.push([]);
    this.#link.push(0);
    this.#end.push(end);
    return this.#length.push(length) - 1;
  }

  #lead(from: number, code: number, to: number): void {
    this.#codes[from]!.push(code);
    this.#next.set(from * CODES + code, to);
  }
}
