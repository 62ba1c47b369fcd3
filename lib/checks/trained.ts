/** Checks of a trained model and its text: whether the model sees later tokens, and the quality of its text. */

import type { Model } from "../model/model.ts";
import { NgramModel } from "../text/ngram.ts";
import {
  copyingOf,
  driftOf,
  scorePredictions,
  scoreTexts,
  spreadWindows,
} from "../text/quality.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { TooLargeError } from "../refusal.ts";
import {
  cachedReach,
  fullReach,
  paddingReaches,
  spread,
  staleCacheReaches,
} from "./causality.ts";
import {
  continuations,
  pathLosses,
  type TeacherForced,
  teacherForced,
} from "./leaks.ts";
import { sideBySide } from "./side_by_side.ts";
import {
  type CheckGroup,
  type Finding,
  type Verdict,
  verdict,
} from "./verdict.ts";
import type { Tokens } from "../text/tokens.ts";

/** A trained model with its training text and held-out text. */
export interface TrainedSubject {
  /** The trained model. */
  readonly model: Model;
  /** The tokenizer of both texts. */
  readonly tokenizer: Tokenizer;
  /** Token ids of the text that the model was trained on. */
  readonly training: Tokens;
  /** Token ids of a text that the model was not trained on. */
  readonly heldOut: Tokens;
  /** Smallest number of tokens to generate and to predict; 20,000 by default. */
  readonly tokens?: number | undefined;
  /** 5-gram model of the training text; by default it is fitted when needed. */
  readonly scorer?: NgramModel | undefined;
  /** Aborts the checks; the reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** Seed of all draws. */
const SEED = 1;

/** Number of positions at which a token is changed. */
const PLACES = 8;

/** Default for the smallest number of tokens to generate and to predict. */
const TOKENS = 20_000;

/** Number of texts generated in one batch. */
const TEXTS = 64;

/** Divisor of the token counts if the model is not causal, since each token then needs a full pass. */
const FEWER = 10;

/** Smallest number of tokens to run on both paths. */
const ON_BOTH_PATHS = 2048;

/**
 * Largest difference of the losses of two paths, in nats per token. Rounding to 32 bits gives
 * about 1e-6; sight of a later token gives a thousand times more than this limit.
 */
const PATH_TOLERANCE = 1e-3;

/** Largest length of a copied span, as a multiple of the longest span that held-out and training text share. */
const COPY_FACTOR = 2;

/** Order of the n-gram models. */
export const ORDER = 5;

/**
 * Returns the checks of whether a model sees later tokens, and of the text that it generates.
 *
 * @param subject the model and its texts, at least one window of `blockSize` tokens each
 * @returns two groups: `the future` and `its own text`
 */
export function trainedChecks(subject: TrainedSubject): CheckGroup[] {
  const evidence = new Evidence(subject);
  return [{
    name: "the future",
    meaning:
      "it predicts from earlier tokens alone: no later token changes a bit, and its loss is not too good to be true.",
    run: () => checkLeaks(subject, evidence),
  }, {
    name: "its own text",
    meaning:
      "the text it writes is as good as its predictions, and is not copied.",
    run: () => checkOwnText(subject, evidence),
  }];
}

/** Most tokens of training text to count and compare, which takes a few GB. */
export const MOST_COUNTED: number = 2 ** 27;

function checkSize(training: Tokens): void {
  if (training.length <= MOST_COUNTED) return;
  throw new TooLargeError(
    `the training text has ${
      training.length.toLocaleString("en")
    } tokens, at most ${MOST_COUNTED.toLocaleString("en")} are counted here`,
  );
}

/** Data that several checks share, computed on first use. */
class Evidence {
  /** Windows of the held-out text. */
  readonly windows: readonly Int32Array[];
  readonly #subject: TrainedSubject;
  #scorer: NgramModel | undefined;
  #forced: Promise<TeacherForced> | undefined;

  constructor(subject: TrainedSubject) {
    this.#subject = subject;
    const { heldOut, model, tokens = TOKENS } = subject;
    const length = Math.min(model.config.blockSize, heldOut.length);
    const count = Math.ceil(tokens / length);
    this.windows = spreadWindows(heldOut, { count, length });
  }

  /** N-gram model of the training text. */
  get scorer(): NgramModel {
    const { training, tokenizer: { vocabSize }, scorer, signal } =
      this.#subject;
    checkSize(training);
    return this.#scorer ??= scorer ??
      NgramModel.fit(training, { order: ORDER, vocabSize, signal });
  }

  /** Returns the model's predictions for the windows. */
  forced(): Promise<TeacherForced> {
    const { model, signal } = this.#subject;
    return this.#forced ??= teacherForced(model, this.windows, {
      seed: SEED,
      signal,
    });
  }
}

async function* checkLeaks(
  subject: TrainedSubject,
  evidence: Evidence,
): AsyncGenerator<Verdict> {
  const { model, heldOut, training, signal } = subject;
  const { mask } = model.config;
  const hint = mask === "causal"
    ? "the model sees the tokens that it has to predict: its losses mean nothing"
    : `--mask ${mask} lets the model see the tokens that it has to predict: its losses mean nothing; --mask causal does not`;
  const T = Math.min(model.config.blockSize, heldOut.length);
  const positions = spread(PLACES, T);
  const failed = (found: string): Finding => ({
    status: "failed",
    found,
    hint,
  });
  const [first, second] = spreadWindows(heldOut, { count: 2, length: T });

  yield await verdict("full pass", async () => {
    const tokens = Int32Array.from([...first!, ...second!]);
    const reaches = await fullReach(model, { tokens, positions });
    const leaks = reaches.filter(({ before }) => before !== 0);
    const most = Math.max(...reaches.map(({ before }) => before));
    return leaks.length === 0 ? unchanged(reaches.length) : failed(
      `LEAK: ${leaks.length} of ${reaches.length} changed tokens change earlier logits, by up to ${
        most.toPrecision(2)
      }`,
    );
  });
  yield await verdict("prefill", async () => {
    if (await paddingReaches(model, [first!.subarray(0, T - 1)])) {
      return failed("LEAK: padding after a prompt changes its logits");
    }
    const { before } = await cachedReach(model, { tokens: first!, positions });
    return before === 0 ? unchanged(positions.length) : failed(
      `LEAK: ${before} numbers cached for earlier tokens change`,
    );
  });
  yield await verdict(
    "decoding",
    async () =>
      await staleCacheReaches(model, first!)
        ? failed("LEAK: what a cache held before changes logits")
        : unchanged(T),
  );
  signal?.throwIfAborted();
  yield await verdict("two paths", async () => {
    const count = Math.ceil(ON_BOTH_PATHS / T);
    const windows = spreadWindows(heldOut, { count, length: T });
    const { full, stepwise } = await pathLosses(model, windows, { signal });
    const found = `loss ${full.toFixed(4)} in full passes, ${
      stepwise.toFixed(4)
    } one token at a time`;
    const numbers = { full, stepwise };
    return Math.abs(full - stepwise) <= PATH_TOLERANCE
      ? { status: "ok", found, numbers }
      : { ...failed(`LEAK: ${found}`), numbers };
  });
  signal?.throwIfAborted();
  yield await verdict("validation loss", async () => {
    const { windows, scorer } = evidence;
    const { vocabSize } = scorer;
    const letters = NgramModel.fit(training, { order: 1, vocabSize, signal });
    const numbers = {
      loss: (await evidence.forced()).loss,
      fiveGram: scoreTexts(scorer, windows).mean,
      unigram: scoreTexts(letters, windows).mean,
    };
    return besideCounts(numbers);
  });
}

function unchanged(places: number): Finding {
  return { status: "ok", found: `0 bits, at ${places} places` };
}

/** Describes a loss beside the losses of n-gram models. */
function besideCounts(
  numbers: {
    readonly loss: number;
    readonly fiveGram: number;
    readonly unigram: number;
  },
): Finding {
  const { loss, fiveGram, unigram } = numbers;
  const found = `${loss.toFixed(3)} nats per token; a ${ORDER}-gram model ${
    fiveGram.toFixed(3)
  }, frequencies alone ${unigram.toFixed(3)}`;
  if (loss < fiveGram / 2 && fiveGram - loss > 0.5) {
    return {
      status: "warning",
      found: `too good: ${found}`,
      hint:
        "no model of this size halves the 5-gram loss: it sees the future, or the validation text is in the training text",
      numbers,
    };
  }
  if (loss > unigram) {
    return {
      status: "warning",
      found,
      hint: "it has not yet learned which tokens are frequent: train longer",
      numbers,
    };
  }
  return { status: "ok", found, numbers };
}

async function* checkOwnText(
  { model, tokenizer, training, heldOut, tokens = TOKENS, signal }:
    TrainedSubject,
  evidence: Evidence,
): AsyncGenerator<Verdict> {
  let written: Int32Array[] = [];
  yield await verdict("free running", async () => {
    const { attention, mask } = model.config;
    const fewer = !attention || mask === "causal" ? 1 : FEWER;
    const firsts = spreadWindows(heldOut, { count: TEXTS, length: 1 });
    const added = await continuations(model, firsts, {
      tokens: Math.ceil(tokens / TEXTS / fewer),
      seed: SEED,
      signal,
    });
    written = added.map((text, row) =>
      Int32Array.from([...firsts[row]!, ...text])
    );
    const { scorer, windows } = evidence;
    const { drawn } = await evidence.forced();
    const { own, predicted, heldOut: real, gap, allowed } = driftOf({
      own: scoreTexts(scorer, written),
      predicted: scorePredictions(scorer, windows, drawn),
      heldOut: scoreTexts(scorer, windows),
    });
    const found = `${own.tokens.toLocaleString("en")} tokens at ${
      own.mean.toFixed(2)
    } nats, predictions at ${predicted.mean.toFixed(2)}: ${gap < 0 ? "" : "+"}${
      gap.toFixed(2)
    } of ${allowed.toFixed(2)}; validation text ${real.mean.toFixed(2)}`;
    const numbers = {
      ...{ own: own.mean, predicted: predicted.mean, heldOut: real.mean },
      ...{ gap, allowed, tokens: own.tokens },
    };
    return gap <= allowed ? { status: "ok", found, numbers } : {
      status: "failed",
      found: `LEAK: ${found}`,
      hint:
        "it writes far worse than it predicts, like a model that sees the future in training: check its mask",
      numbers,
    };
  });
  signal?.throwIfAborted();
  yield await verdict("copying", () => {
    if (written.length === 0) {
      return { status: "skipped", found: "it has written nothing" };
    }
    const decode = (tokens: Tokens) => tokenizer.decode(tokens, { signal });
    checkSize(training);
    const { longest, natural } = copyingOf(written.map(decode).join("\n"), {
      training: decode(training),
      heldOut: decode(heldOut),
      signal,
    });
    const found =
      `${longest.length} characters in a row are in the training text; ${natural} of the validation text`;
    const numbers = { longest: longest.length, natural };
    return longest.length <= COPY_FACTOR * natural
      ? { status: "ok", found, numbers }
      : {
        status: "warning",
        found,
        hint: `it recites ${
          JSON.stringify(longest.slice(0, 40))
        }...: it memorised the text; more text, a smaller model or dropout would help`,
        numbers,
      };
  });
  signal?.throwIfAborted();
  yield await verdict("side by side", () => sideBySide(model, heldOut));
}
