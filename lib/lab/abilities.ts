/**
 * Abilities that texts show in a language, as numbers in [0, 1]: the words are words, the speeches
 * are formatted as speeches, and the phrases are new yet possible. docs/works.md has the reasons.
 *
 * The texts are plays as in tiny Shakespeare: speeches with a line `NAME:` before them and an
 * empty line between them.
 */

import { refusal, TooLargeError } from "../refusal.ts";

/** Scores of a model's texts. */
export interface Abilities {
  /** Share of the words that occur in the training text. */
  readonly spells: number;
  /** Share of the speeches that have a speaker and lines as long as the training text's. */
  readonly formats: number;
  /** Share of the pairs of neighbouring words that are in the held-out text but not in the training text. */
  readonly pairs: number;
  /** As `pairs`, with three words. */
  readonly triples: number;
}

/** A text that continues a prompt from the held-out text, or the held-out text's own continuation. */
export interface Continuation {
  readonly text: string;
  /** The part of the held-out text that the prompt is from: phrases are looked up in the other parts. */
  readonly part: number;
}

/** Lengths of phrases: a pair and a triple of words. */
const PHRASES = [2, 3] as const;

/** Most different words in a training text: a `Set` holds 2^24, and a piece of text adds to it. */
const MOST_WORDS = 16_000_000;

/** Characters of a piece of the training text. */
const PIECE = 2 ** 18;

/** Returns the words of a text in lower case: letters, with apostrophes between them. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/\p{L}+(?:'\p{L}+)*/gu) ?? [];
}

/** Yields a long text in pieces, cut between words: a list of all words would take gigabytes. */
function* piecesOf(text: string): Generator<string> {
  const gap = /[^\p{L}']/gu;
  for (let start = 0; start < text.length;) {
    gap.lastIndex = start + PIECE;
    const end = gap.exec(text)?.index ?? text.length;
    yield text.slice(start, end);
    start = end;
  }
}

/** Measures texts against a training text and a held-out one. */
export class AbilityScale {
  readonly #vocabulary: ReadonlySet<string>;
  /**
   * For pairs and triples: the phrases of the held-out text that are not in the training text. The
   * value is a bit mask, with bit `part` set for each part that contains the phrase.
   */
  readonly #novel: readonly ReadonlyMap<string, number>[];
  /** Range of line lengths, in characters, that contains all but 1 in 100 lines. */
  readonly lineLengths: readonly [shortest: number, longest: number];

  /**
   * Reads both texts.
   *
   * @param training the text that a model was trained on
   * @param parts the held-out text, in at most 31 parts: its phrases are
   * possible, and new if the training text does not have them
   * @param options.signal ends the work when its `throwIfAborted`, called every few milliseconds, throws
   * @throws {RangeError} if the training text has more than 16,000,000 different words
   */
  constructor(
    training: string,
    parts: readonly string[],
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ) {
    const novel = PHRASES.map((length) => {
      const found = new Map<string, number>();
      for (const [part, text] of parts.entries()) {
        signal?.throwIfAborted();
        for (const phrase of phrasesOf(wordsOf(text), length)) {
          found.set(phrase, (found.get(phrase) ?? 0) | (1 << part));
        }
      }
      return found;
    });
    const vocabulary = new Set<string>();
    let last: readonly string[] = [];
    for (const piece of piecesOf(training)) {
      signal?.throwIfAborted();
      const words = wordsOf(piece);
      for (const word of words) vocabulary.add(word);
      if (vocabulary.size > MOST_WORDS) {
        throw refusal(
          TooLargeError,
          "measure abilities",
          `the training text has more than ${MOST_WORDS} different words`,
        );
      }
      const joined = [...last, ...words];
      for (const [i, length] of PHRASES.entries()) {
        for (const phrase of phrasesOf(joined, length)) {
          novel[i]!.delete(phrase);
        }
      }
      last = joined.slice(1 - Math.max(...PHRASES));
    }
    this.#vocabulary = vocabulary;
    this.#novel = novel;
    this.lineLengths = usualLengths(training, signal);
  }

  /**
   * Measures texts together. A score is 0 if the texts have nothing to measure (no words, no
   * speeches). A text may begin and end anywhere: the word and the speech at either end are left
   * out.
   */
  measure(texts: readonly Continuation[]): Abilities {
    const words = texts.map(({ text }) => wordsOf(wholeWords(text)));
    const [pairs, triples] = PHRASES.map((length, i) =>
      share(
        texts.flatMap(({ part }, t) =>
          phrasesOf(words[t]!, length).map((phrase) => ({ phrase, part }))
        ),
        ({ phrase, part }) => {
          const places = this.#novel[i]!.get(phrase) ?? 0;
          return (places & ~(1 << part)) !== 0;
        },
      )
    );
    return {
      spells: share(words.flat(), (word) => this.#vocabulary.has(word)),
      formats: share(
        texts.flatMap(({ text }) => speechesOf(text)),
        (speech) => this.#isWellFormed(speech),
      ),
      pairs: pairs!,
      triples: triples!,
    };
  }

  #isWellFormed({ speaker, lines }: Speech): boolean {
    const [shortest, longest] = this.lineLengths;
    return speaker !== undefined && lines.length > 0 &&
      lines.every(({ length }) => length >= shortest && length <= longest);
  }
}

interface Speech {
  /** The speaker; undefined if the first line names none. */
  readonly speaker: string | undefined;
  readonly lines: readonly string[];
}

/** Returns a text without its first and last word, which may be cut off. */
function wholeWords(text: string): string {
  return text.replace(/^\S+/, "").replace(/\S+$/, "");
}

/** Returns the speeches between empty lines, without the first and last block, which may be cut off. */
function speechesOf(text: string): Speech[] {
  return [...blocksOf(text)].slice(1, -1).filter((block) => block !== "")
    .map((block) => {
      const [first = "", ...lines] = block.split("\n");
      const speaker = /^(\p{Lu}[\p{L}' .-]*):$/u.exec(first)?.[1];
      return { speaker, lines };
    });
}

/** Yields the blocks before, between and after the empty lines of a text. */
function* blocksOf(text: string): Generator<string> {
  let start = 0;
  for (const { 0: gap, index } of text.matchAll(/\n{2,}/g)) {
    yield text.slice(start, index).trim();
    start = index + gap.length;
  }
  yield text.slice(start).trim();
}

/** Returns the range of line lengths that contains all but 1 in 100 lines of a text's speeches. */
function usualLengths(
  text: string,
  signal: AbortSignal | undefined,
): [shortest: number, longest: number] {
  const counts = new Map<number, number>();
  let lines = 0;
  for (const block of blocksOf(text)) {
    signal?.throwIfAborted();
    for (const { length } of block.split("\n").slice(1)) {
      counts.set(length, (counts.get(length) ?? 0) + 1);
      lines++;
    }
  }
  const sorted = [...counts].toSorted(([a], [b]) => a - b);
  const at = (share: number) => {
    let before = Math.round(share * (lines - 1));
    return sorted.find(([, count]) => (before -= count) < 0)?.[0] ?? 0;
  };
  return [at(0.005), at(0.995)];
}

/** Returns all phrases of `length` neighbouring words. */
function phrasesOf(words: readonly string[], length: number): string[] {
  const count = Math.max(0, words.length - length + 1);
  return Array.from(
    { length: count },
    (_, start) => words.slice(start, start + length).join(" "),
  );
}

function share<Item>(
  items: readonly Item[],
  counts: (item: Item) => boolean,
): number {
  return items.length === 0 ? 0 : items.filter(counts).length / items.length;
}
