/** The museum's exhibits, in the order of its rooms. */

import type { Exhibit } from "./exhibit.ts";
import { maskExhibits } from "./masks.ts";

/** All of them; each name once. */
export const exhibits: readonly Exhibit[] = [...maskExhibits];
