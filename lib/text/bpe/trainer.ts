/**
 * Training of a byte-level BPE vocabulary: counts the pieces of a text, then merges the most frequent pair of
 * tokens again and again (Sennrich, Haddow and Birch 2016, arXiv 1508.07909; on bytes, as GPT-2).
 *
 * Of pairs with equal counts the one with the smaller left id is merged first, then the one with the smaller right id, so the
 * same text gives the same vocabulary on every machine. Ids 0 to 255 are the bytes.
 */

import { Heap } from "./heap.ts";
import { type SplitName, Splitter } from "./split.ts";
import { type BpeVocabulary, utf8String, withEnd } from "./vocabulary.ts";
import { checkWithin, type Range } from "../../range.ts";
import { refusal } from "../../refusal.ts";

const BYTES = 256;

/** Largest vocabulary that is trained: its ids fit in 2 bytes. */
const MOST_TRAINED = 2 ** 16;

/** Sizes of vocabularies that can be trained. */
export const trainedSizes: Required<Pick<Range, "least" | "most" | "whole">> = {
  least: BYTES,
  most: MOST_TRAINED,
  whole: true,
};

/** Most distinct pieces that are counted; together they take some hundred megabytes. */
const MOST_PIECES = 2 ** 20;

/** Longest piece that is learned from, in units of the string; a longer one is no word. */
const LONGEST_PIECE = 256;

/** Two tokens side by side. */
interface Pair {
  readonly left: number;
  readonly right: number;
  /** Number of times that the pair occurs in the text. */
  count: number;
  /** Words that have or had the pair. */
  readonly words: number[];
}

/** A pair with its count at the time when it was put into the heap. */
interface Counted {
  readonly pair: Pair;
  readonly count: number;
}

/** Counts the pieces of a text that arrives in parts, and makes a vocabulary of them. */
export class BpeTrainer {
  readonly #split: SplitName;
  readonly #splitter: Splitter;
  readonly #counts = new Map<string, number>();
  readonly #mostPieces: number;

  /** @param mostPieces distinct pieces at which the rarest are forgotten */
  constructor(split: SplitName, mostPieces: number = MOST_PIECES) {
    this.#split = split;
    this.#splitter = new Splitter(split, "train Tokenizer");
    this.#mostPieces = mostPieces;
  }

  /** Adds the next part of the text. */
  add(text: string): void {
    this.#count(this.#splitter.push(text));
  }

  /** Ends a text; another may follow, and no piece spans both. */
  endText(): void {
    this.#count(this.#splitter.flush());
  }

  #count(pieces: readonly string[]): void {
    const counts = this.#counts;
    for (const piece of pieces) {
      if (piece.length > LONGEST_PIECE) continue;
      const count = counts.get(piece);
      if (count !== undefined) counts.set(piece, count + 1);
      // A copy: a part of a long text would keep all of the text.
      else counts.set(` ${piece}`.slice(1), 1);
    }
    for (let rare = 1; counts.size > this.#mostPieces; rare++) {
      for (const [piece, count] of counts) {
        if (count <= rare) counts.delete(piece);
      }
    }
  }

  /**
   * Merges pairs until the vocabulary has a size.
   *
   * @param vocabSize from 256 to 65,536
   * @param options.endOfText true if the last token is `<|endoftext|>`
   * @throws {RangeError} if the size is out of range, or the text has too few pairs that occur twice
   */
  train(
    vocabSize: number,
    { endOfText = false }: { readonly endOfText?: boolean | undefined } = {},
  ): BpeVocabulary {
    this.endText();
    checkTrainedSize(vocabSize, endOfText);
    const special = endOfText ? 1 : 0;
    const tokens = Array.from(
      { length: BYTES },
      (_, byte) => String.fromCharCode(byte),
    );
    const merges: number[] = [];
    const words = new Words(this.#counts);
    while (tokens.length + special < vocabSize) {
      const pair = words.mostFrequent();
      if (pair === undefined) {
        throw refusal(
          RangeError,
          "train Tokenizer",
          `the text gives ${
            tokens.length + special
          } tokens, not ${vocabSize}: no other pair of tokens occurs twice`,
        );
      }
      words.merge(pair, tokens.length);
      merges.push(pair.left, pair.right);
      tokens.push(tokens[pair.left]! + tokens[pair.right]!);
    }
    const vocabulary = { split: this.#split, tokens, merges, special: [] };
    return endOfText ? withEnd(vocabulary) : vocabulary;
  }
}

/**
 * Checks the size of a vocabulary that is to be trained.
 *
 * @throws {RangeError} if it is not an integer from 256, or 257 with `<|endoftext|>`, to 65,536
 */
function checkTrainedSize(vocabSize: number, endOfText = false): void {
  const least = endOfText ? BYTES + 1 : BYTES;
  const range = { ...trainedSizes, least };
  checkWithin(range, "train Tokenizer", { vocabSize });
}

/** The distinct pieces as lists of tokens, and the pairs of tokens in them. */
class Words {
  readonly #words: number[][] = [];
  /** Number of times that each word occurs. */
  readonly #counts: number[] = [];
  /** Pairs by `left · 65,536 + right`. */
  readonly #pairs = new Map<number, Pair>();
  readonly #heap = new Heap<Counted>(isBefore);

  constructor(counts: ReadonlyMap<string, number>) {
    for (const [piece, count] of counts) {
      const word = Array.from(utf8String(piece), (byte) => byte.charCodeAt(0));
      if (word.length < 2) continue;
      const index = this.#words.push(word) - 1;
      this.#counts.push(count);
      for (let i = 1; i < word.length; i++) {
        this.#change(word[i - 1]!, word[i]!, { index, by: count });
      }
    }
    for (const pair of this.#pairs.values()) this.#wait(pair);
  }

  /** Returns the pair that occurs most often, and at least twice. */
  mostFrequent(): Pair | undefined {
    for (let top; (top = this.#heap.pop()) !== undefined;) {
      const { pair, count } = top;
      if (pair.count < 2) continue;
      if (pair.count === count) return pair;
      this.#wait(pair); // Other merges have taken some of its occurrences.
    }
    return undefined;
  }

  /** Replaces a pair by a token in all words. */
  merge({ left, right, words }: Pair, id: number): void {
    const fresh = new Set<Pair>();
    for (const index of words) {
      const word = this.#words[index]!;
      const by = this.#counts[index]!;
      let end = 0;
      for (let i = 0; i < word.length; i++) {
        const isPair = word[i] === left && word[i + 1] === right;
        if (isPair) {
          // The pair itself, the pair before it as it is now, the pair after it.
          this.#change(left, right, { index, by: -by });
          if (end > 0) {
            this.#change(word[end - 1]!, left, { index, by: -by });
            fresh.add(this.#change(word[end - 1]!, id, { index, by }));
          }
          if (i + 2 < word.length) {
            this.#change(right, word[i + 2]!, { index, by: -by });
            fresh.add(this.#change(id, word[i + 2]!, { index, by }));
          }
          word[end++] = id;
          i++;
        } else word[end++] = word[i]!;
      }
      word.length = end;
    }
    words.length = 0;
    for (const pair of fresh) if (pair.count > 0) this.#wait(pair);
  }

  #wait(pair: Pair): void {
    this.#heap.push({ pair, count: pair.count });
  }

  #change(
    left: number,
    right: number,
    { index, by }: { readonly index: number; readonly by: number },
  ): Pair {
    const key = left * MOST_TRAINED + right;
    let pair = this.#pairs.get(key);
    if (pair === undefined) {
      pair = { left, right, count: 0, words: [] };
      this.#pairs.set(key, pair);
    }
    pair.count += by;
    if (by > 0 && pair.words.at(-1) !== index) pair.words.push(index);
    return pair;
  }
}

/** Returns whether a pair is merged before another: the larger count first; of equal counts, the smaller ids. */
function isBefore(a: Counted, b: Counted): boolean {
  if (a.count !== b.count) return a.count > b.count;
  return a.pair.left !== b.pair.left
    ? a.pair.left < b.pair.left
    : a.pair.right < b.pair.right;
}
