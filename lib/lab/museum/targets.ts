/** Exhibits of batches whose targets are not the next tokens. */

import {
  type Batch,
  Dataset,
  type DatasetOptions,
  type EvalBatch,
  type Split,
} from "../../text/dataset.ts";
import { batchRows, compareTrained, recordedLossRow } from "./compare.ts";
import type { Exhibit, Finding } from "./exhibit.ts";
import type { Room } from "./room.ts";
import type { Tokens } from "../../text/tokens.ts";
import { shareOf } from "../trial.ts";

/** A dataset whose targets are `ahead` positions after their tokens; 1 would be right. */
class MisalignedDataset extends Dataset {
  readonly #text: Tokens;
  readonly #ahead: number;
  /** The right windows, with positions in place of tokens. */
  readonly #places: Dataset;

  constructor(text: Tokens, ahead: number, options: DatasetOptions) {
    super(text, options);
    this.#text = text;
    this.#ahead = ahead;
    this.#places = new Dataset(Int32Array.from(text.keys()), options);
  }

  override batch(step: number, microStep = 0): Batch {
    return this.#read(this.#places.batch(step, microStep));
  }

  override *evalBatches(
    split: Split,
    options: { readonly maxBatches?: number } = {},
  ): Generator<EvalBatch> {
    for (const places of this.#places.evalBatches(split, options)) {
      const batch = this.#read(places);
      const count = batch.targets.filter((target) => target >= 0).length;
      yield { ...batch, count };
    }
  }

  /** Returns the tokens at the positions of a batch. Beyond the text's end there is no target. */
  #read({ tokens, targets, ...shape }: Batch): Batch {
    return {
      ...shape,
      tokens: tokens.map((place) => this.#text[place]!),
      targets: targets.map((place) =>
        place < 0 ? place : this.#text[place - 1 + this.#ahead] ?? -1
      ),
    };
  }
}

/** A dataset that validates on the training split. */
class LeakyDataset extends Dataset {
  override evalBatches(
    _split: Split,
    options: { readonly maxBatches?: number } = {},
  ): Iterable<EvalBatch> {
    // As many windows as the validation split has, so that it takes no longer.
    const { blockSize, batchSize } = this;
    const windows = Math.ceil((this.size("val") - 1) / blockSize);
    const { maxBatches = Math.ceil(windows / batchSize) } = options;
    return super.evalBatches("train", { maxBatches });
  }
}

async function compareTargets(
  room: Room,
  name: string,
  ahead: number,
): Promise<Finding> {
  const right = await room.right();
  const mistake = await room.train(name, {
    dataset: (tokens, options) => new MisalignedDataset(tokens, ahead, options),
  });
  return await compareTrained(
    room,
    [["right", right], ["mistake", mistake]],
    await batchRows(room, [right, mistake]),
  );
}

const targetChecks = [
  "batches: training targets",
  "batches: validation targets",
];

const sameTargets: Exhibit = {
  name: "same-targets",
  title: "Targets are not shifted",
  claim: "each position has to predict its own input",
  see:
    "The best loss of all, close to 0. The model writes one character again and again.",
  deceives:
    "The mask is right, no bit leaks, training and validation agree. The model is perfect, at copying.",
  catches:
    "The check `training targets` compares each target with the token after its place. Of the checks of the model only `validation loss` fails: it makes its own targets from the text.",
  repair: "`targets[t] = tokens[t + 1]`: a window of T + 1 tokens, cut twice.",
  noticedBy: targetChecks,
  run: (room) => compareTargets(room, "same-targets", 0),
};

const farTargets: Exhibit = {
  name: "far-targets",
  title: "Targets are shifted twice",
  claim: "each position has to predict the token after the next one",
  see:
    "The loss falls and settles, but higher than it should: a harder task looks like a worse model. The text has the right letters in no order.",
  deceives:
    "There is nothing to compare the loss with, and no gap between training and validation. The learning rate gets the blame.",
  catches:
    "The check `training targets`. And the loss measured on the text itself, in full passes, is far above the reported one.",
  repair:
    "Shift once: in the dataset or in the loss, never in both. Here it is the dataset; the loss takes targets as they are.",
  source:
    "a known trap of Hugging Face Transformers, whose causal models shift the labels themselves",
  noticedBy: targetChecks,
  run: (room) => compareTargets(room, "far-targets", 2),
};

/** Share of the training text that remains for a model meant to learn it by heart. */
const LITTLE = 0.01;

/** Returns a dataset with the same validation split, but only a little text before it to train on. */
export function littleText(
  tokens: Tokens,
  options: DatasetOptions,
  Kind: typeof Dataset = Dataset,
): Dataset {
  return shareOf(tokens, LITTLE, options, Kind);
}

const seenText: Exhibit = {
  name: "seen-text",
  title: "Evaluation on training text",
  claim:
    "the validation loss is measured on text that the model was trained on",
  see:
    "Two curves that fall together to a low loss. The loss on text that is really new went up long ago.",
  deceives:
    "The one number that should reveal learning by heart says that all is well. The weights equal those of the right run, bit for bit.",
  catches:
    "The check `split` finds the validation windows in the training text. `recorded loss` measures the loss on the held-out text again.",
  repair:
    "Split the text once, before any window is cut, and never draw windows across the cut: `Dataset` does.",
  noticedBy: ["batches: split", "files: recorded loss"],
  run: async (room) => {
    const right = await room.train("little text", { dataset: littleText });
    const mistake = await room.train("seen-text", {
      dataset: (tokens, options) => littleText(tokens, options, LeakyDataset),
    });
    const both = [right, mistake];
    return await compareTrained(
      room,
      [["right", right], ["mistake", mistake]],
      [
        ...await batchRows(room, both),
        await recordedLossRow(room, right.dataset, both),
      ],
    );
  },
};

/** The exhibits, in the order of the list. */
export const targetExhibits: readonly Exhibit[] = [
  sameTargets,
  farTargets,
  seenText,
];
