/**
 * What texts show of a language, as numbers in [0, 1]: whether their words are words, their
 * speeches speeches, their phrases new and yet possible. docs/works.md has the reasons.
 *
 * The texts are plays as in tiny Shakespeare: speeches with a line `NAME:` before them and
 * an empty line between them.
 */

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

/** The words of a text: letters, with apostrophes between them, in lower case. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/\p{L}+(?:'\p{L}+)*/gu) ?? [];
}

/** Measures texts against a training text and a held-out one. */
export class AbilityScale {
  readonly #vocabulary: ReadonlySet<string>;
  /** For pairs and triples: the parts of the held-out text that have a phrase which the training text has not. */
  readonly #novel: readonly ReadonlyMap<string, ReadonlySet<number>>[];
  /** Lengths of lines, in characters, between which all but 1 in 100 are. */
  readonly lineLengths: readonly [shortest: number, longest: number];

  /**
   * Takes in both texts.
   *
   * @param training what a model has seen
   * @param parts what it has not, in parts: its phrases are those that would be right and not copied
   */
  constructor(training: string, parts: readonly string[]) {
    const words = wordsOf(training);
    this.#vocabulary = new Set(words);
    this.#novel = PHRASES.map((length) => {
      const novel = new Map<string, Set<number>>();
      for (const [part, text] of parts.entries()) {
        for (const phrase of phrasesOf(wordsOf(text), length)) {
          const places = novel.get(phrase);
          if (places === undefined) novel.set(phrase, new Set([part]));
          else places.add(part);
        }
      }
      // The training text has more phrases than a Set may have entries.
      for (let start = 0; start + length <= words.length; start++) {
        novel.delete(words.slice(start, start + length).join(" "));
      }
      return novel;
    });
    const lengths = Int32Array.from(
      speechesOf(`\n\n${training}\n\n`).flatMap(({ lines }) => lines),
      (line) => line.length,
    ).sort();
    const at = (share: number) =>
      lengths[Math.round(share * (lengths.length - 1))] ?? 0;
    this.lineLengths = [at(0.005), at(0.995)];
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
          const places = this.#novel[i]!.get(phrase);
          return places !== undefined &&
            places.size > (places.has(part) ? 1 : 0);
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
  const blocks = text.split(/\n{2,}/).slice(1, -1);
  return blocks.map((block) => block.trim()).filter((block) => block !== "")
    .map((block) => {
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
