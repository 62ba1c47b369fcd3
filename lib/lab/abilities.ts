/**
 * What texts show of a language, as numbers in [0, 1]: whether their words are words, their
 * speeches speeches, their phrases new and yet possible. docs/works.md has the reasons.
 *
 * The texts are plays as in tiny Shakespeare: speeches with a line `NAME:` before them and
 * an empty line between them.
 */

import { TooLargeError } from "../text/too_large.ts";

/** What is measured of texts. */
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

/** A text that goes on from a place of the held-out text, or is what really stands there. */
export interface Continuation {
  readonly text: string;
  /** The part of the held-out text in which that place is: phrases are looked for in the others. */
  readonly part: number;
}

/** Words that make a pair, and a triple. */
const PHRASES = [2, 3] as const;

/** The most different words that a training text may have: a `Set` holds 2^24, and a piece of text adds to it. */
const MOST_WORDS = 16_000_000;

/** Characters of a piece of the training text. */
const PIECE = 2 ** 18;

/** The words of a text: letters, with apostrophes between them, in lower case. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/\p{L}+(?:'\p{L}+)*/gu) ?? [];
}

/** Yields a long text piece by piece, cut where no word is: a list of all words would take gigabytes. */
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
   * For pairs and triples: the parts of the held-out text that have a phrase which the training text has not, as a
   * number whose bit `part` is set for each.
   */
  readonly #novel: readonly ReadonlyMap<string, number>[];
  /** Lengths of lines, in characters, between which all but 1 in 100 are. */
  readonly lineLengths: readonly [shortest: number, longest: number];

  /**
   * Takes in both texts.
   *
   * @param training what a model has seen
   * @param parts what it has not, in parts: its phrases are those that would be right and not copied; 31 at most
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
        throw new TooLargeError(
          `Cannot measure abilities: the training text has more than ${MOST_WORDS} different words`,
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
   * Measures texts together; what they have none of (words, speeches) scores 0. A text may begin
   * and end anywhere: the word and the speech at either end are left out.
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
  /** Undefined where the first line names none. */
  readonly speaker: string | undefined;
  readonly lines: readonly string[];
}

/** A text without the beginning and the end of a word that may be cut off. */
function wholeWords(text: string): string {
  return text.replace(/^\S+/, "").replace(/\S+$/, "");
}

/** What stands between empty lines; what stands before the first and after the last may be cut off. */
function speechesOf(text: string): Speech[] {
  return [...blocksOf(text)].slice(1, -1).filter((block) => block !== "")
    .map((block) => {
      const [first = "", ...lines] = block.split("\n");
      const speaker = /^(\p{Lu}[\p{L}' .-]*):$/u.exec(first)?.[1];
      return { speaker, lines };
    });
}

/** Yields what stands before, between and after the empty lines of a text. */
function* blocksOf(text: string): Generator<string> {
  let start = 0;
  for (const { 0: gap, index } of text.matchAll(/\n{2,}/g)) {
    yield text.slice(start, index).trim();
    start = index + gap.length;
  }
  yield text.slice(start).trim();
}

/** The lengths between which all but 1 in 100 lines of a text's speeches are. */
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

/** Neighbouring words, as many at a time as `length`. */
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
