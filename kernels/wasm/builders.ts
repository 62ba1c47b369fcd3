/** What makes the steps of each kernel, by its name in the vocabulary. */

import type { KernelDims, KernelName } from "../vocabulary.ts";
import { add, copy } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import type { Builder } from "./step.ts";

/** What makes each kernel's steps. */
export const builders: {
  readonly [Name in KernelName]?: Builder<KernelDims[Name]>;
} = {
  add,
  copy,
  matmul,
};
