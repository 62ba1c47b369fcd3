/**
 * What a text shows of a language, as numbers in [0, 1]: whether its words are words, its
 * speeches speeches, its phrases new and yet possible. docs/works.md has the reasons.
 *
 * The texts are plays as in tiny Shakespeare: speeches with a line `NAME:` before them and
 * an empty line between them.
 */

/** What is measured of a text. */
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

/** The words of a text: letters, with apostrophes between them, in lower case. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/\p{L}+(?:'\p{L}+)*/gu) ?? [];
}

/** Measures texts against a training text and a held-out one. */
export class AbilityScale {
  readonly #vocabulary: ReadonlySet<string>;
  readonly #novel: readonly ReadonlySet<string>[];
  /** Lengths of lines, in characters, between which all but 1 in 100 are. */
  readonly lineLengths: readonly [shortest: number, longest: number];

  /**
   * Takes in both texts.
   *
   * @param training what a model has seen
   * @param heldOut what it has not: its phrases are those that would be right and not copied
   */
  constructor(training: string, heldOut: string) {
    const words = wordsOf(training);
    const others = wordsOf(heldOut);
    this.#vocabulary = new Set(words);
    this.#novel = [2, 3].map((length) =>
      new Set(phrasesOf(others, length)).difference(
        new Set(phrasesOf(words, length)),
      )
    );
    const lengths = Int32Array.from(
      speechesOf(training).flatMap(({ lines }) => lines),
      (line) => line.length,
    ).sort();
    const at = (share: number) =>
      lengths[Math.round(share * (lengths.length - 1))] ?? 0;
    this.lineLengths = [at(0.005), at(0.995)];
  }

  /** Measures a text; what it has none of (words, speeches) scores 0. */
  measure(text: string): Abilities {
    const words = wordsOf(text);
    const [pairs, triples] = [2, 3].map((length, i) => {
      const novel = this.#novel[i]!;
      return share(phrasesOf(words, length), (phrase) => novel.has(phrase));
    });
    return {
      spells: share(words, (word) => this.#vocabulary.has(word)),
      formats: share(speechesOf(text), (speech) => this.#isWellFormed(speech)),
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

/** What stands between empty lines. The last one is left out: a text may break off in it. */
function speechesOf(text: string): Speech[] {
  const blocks = text.split(/\n{2,}/).map((block) => block.trim());
  return blocks.slice(0, -1).filter((block) => block !== "").map((block) => {
    const [first = "", ...lines] = block.split("\n");
    const speaker = /^(\p{Lu}[\p{L}' .-]*):$/u.exec(first)?.[1];
    return { speaker, lines };
  });
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
