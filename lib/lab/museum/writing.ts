/** Exhibits of mistakes made after training, when a model writes. */

import { samplingChecks } from "../../checks/sampling.ts";
import { type Continue, sideBySide } from "../../checks/side_by_side.ts";
import { type Verdict, verdict } from "../../checks/verdict.ts";
import type { EvalBatch } from "../../text/dataset.ts";
import type { Model } from "../../model/model.ts";
import { scoreTexts, spreadWindows } from "../../text/quality.ts";
import {
  type Logits,
  Sampler,
  type SamplerOptions,
} from "../../text/sampler.ts";
import { checkRows, reportedLoss, writtenScore } from "./compare.ts";
import type { Exhibit } from "./exhibit.ts";
import type { Room } from "./room.ts";

const TOP = 10;

/** Number of texts written side by side. */
const TEXTS = 32;

/** A top-k sampler that gives excluded tokens logit 0 instead of -inf. */
class ZeroingSampler extends Sampler {
  readonly #topK: number;

  constructor({ topK = Infinity, ...options }: SamplerOptions) {
    super(options);
    this.#topK = topK;
  }

  override sample(
    logits: Logits,
    options: Parameters<Sampler["sample"]>[1],
  ): number {
    const least = logits.toSorted().at(-this.#topK) ?? -Infinity;
    return super.sample(
      logits.map((logit) => logit >= least ? logit : 0),
      options,
    );
  }
}

/** Counts the tokens that another sampler draws from outside the likeliest ones. */
class Counter extends Sampler {
  outside = 0;
  draws = 0;
  readonly #inner: Sampler;

  constructor(inner: Sampler) {
    super();
    this.#inner = inner;
  }

  override sample(
    logits: Logits,
    options: Parameters<Sampler["sample"]>[1],
  ): number {
    const id = this.#inner.sample(logits, options);
    const above = logits.filter((logit) => logit > logits[id]!).length;
    if (above >= TOP) this.outside++;
    this.draws++;
    return id;
  }
}

/** Scores texts drawn by a sampler. */
async function scoreOf(room: Room, model: Model, sampler: Sampler) {
  const prompts = spreadWindows(room.heldOut, { count: TEXTS, length: 4 });
  const texts = prompts.map((prompt) => [...prompt]);
  const steps = model.generateBatch(prompts, {
    sampler,
    maxNewTokens: Math.ceil(room.written / TEXTS),
    signal: room.signal,
  });
  for await (const ids of steps) ids.forEach((id, row) => texts[row]!.push(id));
  room.signal?.throwIfAborted();
  return scoreTexts(room.scorer, texts.map((text) => Int32Array.from(text)));
}

const topK: Exhibit = {
  name: "zero-top-k",
  title: "Top-k gives excluded tokens the logit 0",
  claim:
    "excluded tokens are drawn all the same: logit 0 is more than most tokens have",
  see:
    "Text with letters in impossible places, from a model whose loss is right.",
  deceives:
    "Training, validation and every check of the model are fine: the mistake is in the last line before the text. So people train longer, and the mistake stays.",
  catches:
    "The check `top-k` of sampling: it finds draws that are not among the k likeliest tokens.",
  repair:
    "Excluded tokens get logit -inf, and so probability 0 exactly: `sample --top-k 10`, `new Sampler({ topK: 10 })`.",
  source:
    "the study that this project grew from (github.com/k-duan/lm, commit fbf2561)",
  noticedBy: ["sampling: top-k"],
  run: async (room) => {
    const right = await room.right();
    const { model } = right;
    const options = { temperature: 0.9, topK: TOP, seed: room.seed };
    const makers = [
      (options: SamplerOptions) => new Sampler(options),
      (options: SamplerOptions) => new ZeroingSampler(options),
    ];
    const scores: number[] = [];
    const outside: number[] = [];
    const texts: string[] = [];
    for (const make of makers) {
      const counter = new Counter(make(options));
      scores.push((await scoreOf(room, model, counter)).mean);
      outside.push(100 * counter.outside / counter.draws);
      texts.push(await room.sample(model, make(options)));
    }
    return {
      setup: `${room.describe(right)}; temperature 0.9, top-k ${TOP}`,
      columns: ["right", "mistake"],
      figures: [
        reportedLoss([right.valLoss, right.valLoss]),
        {
          what: `drawn tokens that are not among the ${TOP} likeliest, %`,
          values: outside,
          digits: 1,
        },
        writtenScore(scores),
      ],
      text: { prompt: room.tokenizer.decode(room.prompt), texts },
      bells: await checkRows(makers.map((make) => samplingChecks(make))),
    };
  },
};

/** Pads prompts on the left with token 0 to one length, and treats the padding as text. */
const leftPadded: Continue = (model, prompts, options) => {
  const longest = Math.max(...prompts.map(({ length }) => length));
  const padded = prompts.map((prompt) => {
    const row = new Int32Array(longest);
    row.set(prompt, longest - prompt.length);
    return row;
  });
  return model.generateBatch(padded, options);
};

/** Tokens of a short prompt, and of the text after it. */
const SHORT = 4;
const AFTER = 8;

/** Returns short prompts, padded on the left with `pad` times token 0, and the held-out text after them. */
function shortPrompts(
  { heldOut }: Room,
  pad: number,
): EvalBatch {
  const B = 256;
  const T = pad + SHORT + AFTER - 1;
  const tokens = new Int32Array(B * T);
  const targets = new Int32Array(B * T).fill(-1);
  const windows = spreadWindows(heldOut, {
    count: B,
    length: SHORT + AFTER,
  });
  windows.forEach((window, row) => {
    tokens.set(window.subarray(0, -1), row * T + pad);
    targets.set(window.subarray(SHORT), row * T + pad + SHORT - 1);
  });
  return { B, T, tokens, targets, count: B * AFTER };
}

const padding: Exhibit = {
  name: "unmasked-padding",
  title: "Padding without a mask",
  claim:
    "shorter prompts of a batch are filled up with token 0, and the model reads that as text",
  see:
    "Texts that depend on which other prompts are in the batch. The longest prompt is continued rightly, so a test with one prompt finds nothing.",
  deceives:
    "Training has no padding, so its losses say nothing of it; token 0 is a character like any other (in tiny Shakespeare a line end); and a prompt alone is right.",
  catches:
    "The check `side by side`: the logits of a prompt beside longer prompts differ from those of the prompt alone.",
  repair:
    "Mask the padding and count positions from the first real token, or have none: here each row has its own start and length, and tokens after a prompt are never read.",
  source:
    "the study that this project grew from, which pads on the left without a mask",
  noticedBy: ["its own text: side by side"],
  run: async (room) => {
    const right = await room.right();
    const { model } = right;
    const writers: (Continue | undefined)[] = [undefined, leftPadded];
    const { blockSize } = model.config;
    const pads = [0, blockSize - SHORT - AFTER];
    const losses: number[] = [];
    for (const pad of pads) {
      losses.push(await model.evaluate([shortPrompts(room, pad)]));
    }
    const verdicts: Verdict[] = [];
    for (const write of writers) {
      verdicts.push(
        await verdict(
          "side by side",
          () => sideBySide(model, room.heldOut, write),
        ),
      );
    }
    const short = room.prompt.slice(0, SHORT + 2);
    const texts: string[] = [];
    for (const pad of pads) {
      const prompt = Int32Array.of(...new Int32Array(pad), ...short);
      const sampler = new Sampler({ temperature: 0.8, seed: room.seed });
      const ids = model.generate(prompt, { sampler, maxNewTokens: 120 });
      texts.push(room.tokenizer.decode(await Array.fromAsync(ids)));
    }
    return {
      setup: `${room.describe(right)}; ${pads[1]} times token 0`,
      columns: ["right", "mistake"],
      figures: [
        reportedLoss([right.valLoss, right.valLoss]),
        {
          what:
            `loss of the ${AFTER} tokens after a prompt of ${SHORT}, in held-out text`,
          values: losses,
        },
        {
          what: "largest change of logits beside longer prompts",
          values: verdicts.map(({ numbers }) => numbers?.["most"] ?? null),
        },
      ],
      text: { prompt: room.tokenizer.decode(short), texts },
      bells: [{ check: "its own text: side by side", verdicts }],
    };
  },
};

/** The exhibits, in the order of the list. */
export const writingExhibits: readonly Exhibit[] = [topK, padding];
