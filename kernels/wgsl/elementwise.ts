/**
 * Kernels that treat every element alone and know no network: sums, copies
 * and dropout.
 */

import type { Builder } from "./kernel.ts";
import { elementwise } from "./pass.ts";
import { dropped } from "./random.ts";

/** y = a + b. */
export const add: Builder<"add"> = elementwise("add", () => ({
  body: "y[i] = a[i] + b[i];",
}));

/** y = x. */
export const copy: Builder<"copy"> = elementwise("copy", () => ({
  body: "y[i] = x[i];",
}));

/** y = x · 0 or x · 1 / (1 - rate), as the bits of each element's index say, + residual. */
export const dropout: Builder<"dropout"> = elementwise(
  "dropout",
  (dims, lanes) => ({
    declarations: dropped(dims),
    body: `
let index = ${lanes}u * i;
let mask = ${
      lanes === 1
        ? "dropped(index)"
        : "vec4f(dropped(index), dropped(index + 1u), dropped(index + 2u), dropped(index + 3u))"
    };
y[i] = ${dims.residual ? "residual[i] + " : ""}x[i] * mask;`,
  }),
);
