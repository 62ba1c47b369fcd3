/** The museum's exhibits, in the order of its rooms. */

import { dropoutExhibits } from "./dropout.ts";
import type { Exhibit } from "./exhibit.ts";
import { gradientExhibits } from "./gradients.ts";
import { maskExhibits } from "./masks.ts";
import { positionExhibits } from "./positions.ts";
import { targetExhibits } from "./targets.ts";
import { writingExhibits } from "./writing.ts";

/** All exhibits; each name occurs once. */
export const exhibits: readonly Exhibit[] = [
  ...maskExhibits,
  ...targetExhibits,
  ...positionExhibits,
  ...dropoutExhibits,
  ...gradientExhibits,
  ...writingExhibits,
];
