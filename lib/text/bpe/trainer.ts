/**
 * Training of a byte-level BPE vocabulary: counts the pieces of a text, then merges the most frequent pair of
 * tokens again and again (Sennrich, Haddow and Birch 2016, arXiv 1508.07909; on bytes, as GPT-2).
 *
 * Of pairs with equal counts the one with the smaller left id is merged first, then the one with the smaller right id, so the
 * same text gives the same vocabulary on every machine. Ids 0 to 255 are the bytes.
 */

import { type SplitName, Splitter } from "./split.ts";
import { type BpeVocabulary, withEnd } from "./vocabulary.ts";
import { MOST_TOKENS } from "./pairs.ts";
import { Words } from "./words.ts";
import { checkWithin, type Range } from "../../range.ts";
import { refusal } from "../../refusal.ts";

const BYTES = 256;

/** Sizes of vocabularies that can be trained. */
export const trainedSizes: Required<Pick<Range, "least" | "most" | "whole">> = {
  least: BYTES,
  most: MOST_TOKENS,
  whole: true,
};

/** Most distinct pieces that are counted, and most characters in them; together they take up to a gigabyte. */
const MOST_PIECES = 2 ** 20;
const MOST_CHARACTERS = 2 ** 24;

/** Longest piece that is learned from, in units of the string; a longer one is no word. */
const LONGEST_PIECE = 256;

/** Counts the pieces of a text that arrives in parts, and makes a vocabulary of them. */
export class BpeTrainer {
  readonly #split: SplitName;
  readonly #splitter: Splitter;
  readonly #counts = new Map<string, number>();
  /** Characters of all distinct pieces, in units of the string. */
  #characters = 0;
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
      else {
        counts.set(` ${piece}`.slice(1), 1);
        this.#characters += piece.length;
      }
    }
    for (let rare = 1; this.#isFull; rare++) {
      for (const [piece, count] of counts) {
        if (count > rare) continue;
        counts.delete(piece);
        this.#characters -= piece.length;
      }
    }
  }

  get #isFull(): boolean {
    return this.#counts.size > this.#mostPieces ||
      this.#characters > MOST_CHARACTERS;
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
      const [left, right] = pair;
      words.merge(left, right, tokens.length);
      merges.push(left, right);
      tokens.push(tokens[left]! + tokens[right]!);
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
