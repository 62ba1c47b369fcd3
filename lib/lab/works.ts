/**
 * Criteria for a language model that works: a ladder of rungs, each a number with a threshold that
 * the corpus itself sets; and the measurement of a model by them. docs/works.md gives the formulas and
 * the reasons.
 */

import { fullReach, spread } from "../checks/causality.ts";
import { continuations, teacherForced } from "../checks/leaks.ts";
import type { Model } from "../model/model.ts";
import { MOST_COUNTED, ORDER } from "../checks/trained.ts";
import { refusal, TooLargeError } from "../refusal.ts";
import { longestSharedSpan } from "../text/shared_span.ts";
import { NgramModel } from "../text/ngram.ts";
import {
  driftOf,
  scorePredictions,
  scoreTexts,
  spreadWindows,
} from "../text/quality.ts";
import { Sampler } from "../text/sampler.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import {
  type Abilities,
  AbilityScale,
  type Continuation,
} from "./abilities.ts";
import type { Tokens } from "../text/tokens.ts";

/** Scores of a model's free-running text. */
export interface OwnText extends Abilities {
  /** Length of the longest span of its text that is also in the training text, in characters. */
  readonly longestCopy: number;
  /** Cost of free running, in nats per token under the 5-gram model: see `driftOf` in quality.ts. */
  readonly gap: number;
}

/** Measurements of a model. */
export interface Evidence {
  /** Loss on the whole validation split, in nats per token. */
  readonly valLoss: number;
  /** True if no token changes a bit of the logits before it; absent if that was not tested. */
  readonly causal?: boolean | undefined;
  /** Scores of the model's text; absent if it was not measured. */
  readonly own?: OwnText | undefined;
}

/** The names of the rungs, in order. */
export const rungNames = [
  "uniform",
  "unigram",
  "bigram",
  "trigram",
  "5-gram",
  "spells",
  "formats",
  "pairs",
  "triples",
  "memory",
  "honest",
  "causal",
] as const;

/** The name of a rung. */
export type RungName = typeof rungNames[number];

/** One rung of the ladder. */
export interface Rung {
  /** The rung's name. */
  readonly name: RungName;
  /** A short description of a model that reaches the rung. */
  readonly claim: string;
  /** The relation between the number and the threshold that reaches the rung. */
  readonly relation: "below" | "at least" | "at most";
  /** The number that the model's is compared with. */
  readonly threshold: number;
  /** The score of the 5-gram model's own text, if it is informative. */
  readonly fiveGram?: number | undefined;
}

/** Number of parts of the held-out text; each has its own scores, and the worst sets a threshold. */
const PARTS = 5;

/** Number of texts in a part, and of texts that a model writes. */
const TEXTS = 20;

/** Tokens of a prompt. */
const PROMPT = 100;

/** Tokens of a text: 20 of them make 20,000. */
const LENGTH = 1000;

/** Tokens of a text below which its speeches are too few to be counted. */
const SHORTEST = 200;

/** The seed of all texts. */
const SEED = 1;

/** Number of positions at which a token is changed. */
const PLACES = 4;

function valueOf(
  { name, relation }: Rung,
  { valLoss, causal, own }: Evidence,
): number | undefined {
  if (relation === "below") return valLoss;
  if (name === "causal") return causal === undefined ? causal : Number(causal);
  const scores = own && { ...own, memory: own.longestCopy, honest: own.gap };
  return scores?.[name as keyof typeof scores];
}

/**
 * Returns the number that a rung compares and whether it reaches the rung; undefined if it was not
 * measured. A loss never reaches its rung if the model saw the tokens it was to predict.
 */
export function rungValue(
  rung: Rung,
  evidence: Evidence,
): { readonly value: number; readonly reached: boolean } | undefined {
  const value = valueOf(rung, evidence);
  if (value === undefined) return undefined;
  const { relation, threshold } = rung;
  const reached = relation === "below"
    ? value < threshold && evidence.causal !== false
    : relation === "at least"
    // A score of 0 never reaches a rung, even if the threshold is 0.
    ? value > 0 && value >= threshold
    : value <= threshold;
  return { value, reached };
}

/** A position in the held-out text at which a prompt is continued. */
interface Place {
  readonly part: number;
  readonly prompt: Int32Array;
  /** The held-out text after the prompt. */
  readonly truth: Int32Array;
}

/** The corpus as a measure: it sets the demands on a model's text and provides the texts to compare with. */
export class Examiner {
  /** The 5-gram model of the training text. */
  readonly scorer: NgramModel;
  /** Tokens of each text that a model writes. */
  readonly length: number;
  readonly #training: Tokens;
  readonly #heldOut: Tokens;
  readonly #tokenizer: Tokenizer;
  readonly #trainingText: string;
  readonly #scale: AbilityScale;
  /** Positions in each part of the held-out text at which texts are continued. */
  readonly #places: readonly (readonly Place[])[];
  readonly #signal: AbortSignal | undefined;
  #ladder: readonly Rung[] | undefined;

  /**
   * Reads a corpus.
   *
   * @param options.signal ends this and later work when its `throwIfAborted`, called every few milliseconds, throws
   * @throws {RangeError} if the held-out text is too short to be measured in parts
   */
  constructor(
    { training, heldOut, tokenizer, signal }: {
      readonly training: Tokens;
      readonly heldOut: Tokens;
      readonly tokenizer: Tokenizer;
      readonly signal?: AbortSignal | undefined;
    },
  ) {
    const size = Math.floor(heldOut.length / PARTS);
    this.length = Math.min(LENGTH, Math.floor(size / TEXTS) - PROMPT);
    const least = PARTS * TEXTS * (PROMPT + SHORTEST);
    if (this.length < SHORTEST) {
      throw refusal(
        RangeError,
        `measure abilities on ${heldOut.length} tokens of held-out text`,
        `needs at least ${least}`,
      );
    }
    if (training.length > MOST_COUNTED) {
      throw refusal(
        TooLargeError,
        `measure abilities on ${training.length} tokens of training text`,
        `it takes at most ${MOST_COUNTED}`,
      );
    }
    this.#training = training;
    this.#heldOut = heldOut;
    this.#tokenizer = tokenizer;
    this.#signal = signal;
    this.#trainingText = tokenizer.decode(training, { signal });
    this.scorer = this.#fit(ORDER);
    const parts = Array.from(
      { length: PARTS },
      (_, part) => heldOut.subarray(part * size, (part + 1) * size),
    );
    this.#scale = new AbilityScale(
      this.#trainingText,
      parts.map((part) => tokenizer.decode(part, { signal })),
      { signal },
    );
    const stride = Math.floor(size / TEXTS);
    this.#places = parts.map((tokens, part) =>
      Array.from({ length: TEXTS }, (_, i): Place => {
        const start = i * stride + PROMPT;
        return {
          part,
          prompt: Int32Array.from(tokens.subarray(start - PROMPT, start)),
          truth: Int32Array.from(tokens.subarray(start, start + this.length)),
        };
      })
    );
  }

  /** The prompts that a model continues: equally many from each part. */
  get prompts(): readonly Int32Array[] {
    return this.#asked().map(({ prompt }) => prompt);
  }

  /** Scores texts that continue {@linkcode prompts}, in the same order. */
  abilities(texts: readonly Int32Array[]): Abilities & { longestCopy: number } {
    return this.#measure(this.#asked(), texts);
  }

  /** Returns the rungs with their thresholds. The first call takes seconds. */
  ladder(): readonly Rung[] {
    return this.#ladder ??= this.#rungs();
  }

  #rungs(): Rung[] {
    const parts = this.#places.map((places) =>
      this.#measure(places, places.map(({ truth }) => truth))
    );
    const counted = this.abilities(this.#countedTexts());
    const beats = (name: RungName, claim: string, order: number): Rung => ({
      name,
      claim,
      relation: "below",
      threshold: order === 0
        ? Math.log(this.#tokenizer.vocabSize)
        : this.#fit(order).loss(this.#heldOut, { signal: this.#signal }),
    });
    const scores = (name: keyof Abilities, claim: string): Rung => ({
      name,
      claim,
      relation: "at least",
      threshold: Math.min(...parts.map((part) => part[name])),
      fiveGram: counted[name],
    });
    return [
      beats("uniform", "knows more than nothing", 0),
      beats("unigram", "knows which characters are frequent", 1),
      beats("bigram", "knows what follows a character", 2),
      beats("trigram", "knows what follows two", 3),
      beats("5-gram", "knows what follows four", 5),
      scores("spells", "its words are words"),
      scores("formats", "its speeches are speeches"),
      scores("pairs", "its word pairs are new and possible"),
      scores("triples", "so are its triples"),
      {
        name: "memory",
        claim: "its text is its own",
        relation: "at most",
        threshold: Math.max(...parts.map(({ longestCopy }) => longestCopy)),
        fiveGram: counted.longestCopy,
      },
      {
        name: "honest",
        claim: "it writes as well as it predicts",
        relation: "at most",
        threshold: scoreTexts(
          this.scorer,
          this.#places.flat().map(({ truth }) => truth),
        ).deviation,
      },
      {
        name: "causal",
        claim: "it never sees what it predicts",
        relation: "at least",
        threshold: 1,
      },
    ];
  }

  /** Returns the positions of the prompts. */
  #asked(): Place[] {
    return this.#places.flatMap((places) =>
      places.filter((_, i) => i % PARTS === 0)
    );
  }

  #measure(
    places: readonly Place[],
    texts: readonly Int32Array[],
  ): Abilities & { longestCopy: number } {
    const written = texts.map((tokens, i): Continuation => ({
      text: this.#tokenizer.decode(tokens),
      part: places[i]!.part,
    }));
    // No text contains the separator, so no shared span crosses two texts.
    const all = written.map(({ text }) => text).join("\0");
    return {
      ...this.#scale.measure(written),
      longestCopy: longestSharedSpan(all, this.#trainingText, {
        signal: this.#signal,
      }).length,
    };
  }

  /** Returns the texts that the 5-gram model writes. */
  #countedTexts(): Int32Array[] {
    const { vocabSize } = this.#tokenizer;
    const sampler = new Sampler({ seed: SEED });
    const logits = new Float64Array(vocabSize);
    return this.prompts.map((prompt, row) => {
      const text = Array.from(prompt);
      for (let step = 0; step < this.length; step++) {
        this.#signal?.throwIfAborted();
        const near = text.slice(1 - this.scorer.order);
        for (let id = 0; id < vocabSize; id++) {
          logits[id] = Math.log(this.scorer.probability(near, id));
        }
        text.push(sampler.sample(logits, { step, row }));
      }
      return Int32Array.from(text.slice(prompt.length));
    });
  }

  #fit(order: number): NgramModel {
    const { vocabSize } = this.#tokenizer;
    const signal = this.#signal;
    return NgramModel.fit(this.#training, { order, vocabSize, signal });
  }
}

/** Texts that a model wrote, and their scores. */
export interface WrittenText {
  /** Scores of all texts together. */
  readonly own: OwnText;
  /** The model's continuation of each of the examiner's prompts. */
  readonly texts: readonly Int32Array[];
}

/** Makes a model continue the examiner's prompts, and measures the texts. */
export async function measureOwnText(
  model: Model,
  { examiner, heldOut, signal }: {
    readonly examiner: Examiner;
    readonly heldOut: Tokens;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<WrittenText> {
  const { prompts, length, scorer } = examiner;
  const T = model.config.blockSize;
  const texts = await continuations(model, prompts, {
    tokens: length,
    seed: SEED,
    signal,
  });
  const windows = spreadWindows(heldOut, {
    count: Math.ceil(prompts.length * length / T),
    length: T,
  });
  const { drawn } = await teacherForced(model, windows, { seed: SEED, signal });
  const { gap } = driftOf({
    own: scoreTexts(scorer, texts),
    predicted: scorePredictions(scorer, windows, drawn),
    heldOut: scoreTexts(scorer, windows),
  });
  return { own: { ...examiner.abilities(texts), gap }, texts };
}

/** Returns true if changed tokens of a text change no bit of the logits before them. */
export async function isCausal(
  model: Model,
  text: Tokens,
): Promise<boolean> {
  const T = Math.min(model.config.blockSize, Math.floor(text.length / 2));
  if (T < 2) return true; // There is nothing before.
  const reaches = await fullReach(model, {
    tokens: Int32Array.from(text.subarray(0, 2 * T)),
    positions: spread(PLACES, T),
  });
  return reaches.every(({ before }) => before === 0);
}
