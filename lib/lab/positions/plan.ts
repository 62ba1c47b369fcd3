/**
 * The plan of the study of positions: the default recipe, smaller and trained for fewer steps,
 * with each kind of positions.
 */

import { presets } from "../../config/presets.ts";
import type { Cell, Plan } from "../plan.ts";

/** Cells that differ only in the way they encode positions. */
export const kinds = [
  "none",
  "learned",
  "sinusoidal",
  "rope",
  "alibi",
] as const;

/** Factor by which the context is longer than in training when models read beyond it. */
export const LONGER = 4;

/** Factor by which the longest training is longer. */
const LONGER_TRAINING = 4;

/** Name of the cell without mask and positions. */
export const UNMASKED = "unmasked";

/** Cells that are also trained in other ways, to see the worth of positions there. */
export const compared = ["none", "rope"] as const;

/** A cell that is also trained in other ways. */
export type Compared = typeof compared[number];

/** Names the cell with that number of layers. */
export function withLayers(cell: Compared, nLayer: number): string {
  return nLayer === base.nLayer
    ? cell
    : `${cell}-${nLayer}layer${nLayer > 1 ? "s" : ""}`;
}

/** Names the cell that is trained `LONGER_TRAINING` times as long. */
export function longer(cell: Compared): string {
  return `${cell}-longer`;
}

const base = {
  ...presets.default.model,
  blockSize: 64,
  // ALiBi's slopes need several heads: with 2, both would look far.
  nHead: 4,
  nLayer: 3,
};

/** Depths that `none` and `rope` are trained with. */
export const depths: readonly number[] = [1, 2, base.nLayer];

/** Returns the plan; `quick` asks for a rough one, of one seed and shorter training. */
export function positionsPlan({ quick }: { readonly quick: boolean }): Plan {
  const maxSteps = quick ? 300 : 600;
  const shallow = depths.filter((nLayer) => nLayer !== base.nLayer).flatMap(
    (nLayer) =>
      compared.map((position): Cell => ({
        name: withLayers(position, nLayer),
        model: { position, nLayer },
      })),
  );
  const long = compared.map((position): Cell => ({
    name: longer(position),
    model: { position },
    train: { maxSteps: LONGER_TRAINING * maxSteps },
  }));
  return {
    study: "Positions",
    about:
      "Where position comes from with a causal mask and no position embedding, what each kind of positions is worth, and how far it reaches beyond the trained context.",
    data: "tinyshakespeare",
    tokenizer: "chars",
    base: {
      model: base,
      train: {
        ...presets.default.train,
        maxSteps,
        evalInterval: 0,
        sampleInterval: 0,
        checkpointInterval: 0,
      },
    },
    measure: "positions",
    seeds: quick ? [1] : [1, 2, 3],
    baseline: "none",
    cells: [
      ...kinds.map((position): Cell => ({
        name: position,
        model: { position },
      })),
      { name: UNMASKED, model: { position: "none", mask: "none" } },
      ...shallow,
      ...quick ? [] : long,
    ],
  };
}
