/** The study of positions as a plan: the default recipe, smaller and for less long, with each kind of positions. */

import { presets } from "../../config/presets.ts";
import type { Cell, Plan } from "../plan.ts";

/** The cells that differ in nothing but where they say that a token is. */
export const kinds = [
  "none",
  "learned",
  "sinusoidal",
  "rope",
  "alibi",
] as const;

/** How often the context is as long as in training when models read beyond it. */
export const LONGER = 4;

/** How much longer the longest training is. */
const LONGER_TRAINING = 4;

/** The cell without mask and positions. */
export const UNMASKED = "unmasked";

/** Cells that are trained in other ways too, to see what positions are worth then. */
export const compared = ["none", "rope"] as const;

/** One of them. */
export type Compared = typeof compared[number];

/** What the cell of fewer layers is called. */
export function withLayers(cell: Compared, nLayer: number): string {
  return nLayer === base.nLayer
    ? cell
    : `${cell}-${nLayer}layer${nLayer > 1 ? "s" : ""}`;
}

/** What the cell is called that is trained `LONGER_TRAINING` times as long. */
export function longer(cell: Compared): string {
  return `${cell}-longer`;
}

const base = {
  ...presets.default.model,
  blockSize: 64,
  // ALiBi's slopes want heads: of 2 both would look far.
  nHead: 4,
  nLayer: 3,
};

/** Depths that `none` and `rope` are trained with. */
export const depths: readonly number[] = [1, 2, base.nLayer];

/** The plan; `quick` is a rough one, of one seed and shorter training. */
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
