/** The study of positions as a plan: the default recipe, smaller and for less long, with each kind of positions. */

import { presets } from "../../presets.ts";
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

/** The cell without mask and positions. */
export const UNMASKED = "unmasked";

/** What the cell of fewer layers is called. */
export function withLayers(cell: "none" | "rope", nLayer: number): string {
  return nLayer === base.nLayer
    ? cell
    : `${cell}-${nLayer}layer${nLayer > 1 ? "s" : ""}`;
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
  const shallow = depths.filter((nLayer) => nLayer !== base.nLayer).flatMap(
    (nLayer) =>
      (["none", "rope"] as const).map((position): Cell => ({
        name: withLayers(position, nLayer),
        model: { position, nLayer },
      })),
  );
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
        maxSteps: quick ? 300 : 600,
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
    ],
  };
}
