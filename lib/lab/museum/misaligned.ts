/** Datasets with wrong targets or splits, on the same windows as the right dataset. */

import {
  type Batch,
  Dataset,
  type DatasetOptions,
  type EvalBatch,
  type Split,
} from "../../text/dataset.ts";
import type { Tokens } from "../../text/tokens.ts";

/** A dataset whose targets are `ahead` positions after their tokens; 1 would be right. */
export class MisalignedDataset extends Dataset {
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
export class LeakyDataset extends Dataset {
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
