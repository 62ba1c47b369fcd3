/** The WGSL builder of each kernel, by its name in the vocabulary. */

import type { KernelName } from "../vocabulary.ts";
import * as activation from "./activation.ts";
import * as attention from "./attention.ts";
import * as cache from "./cache.ts";
import * as elementwise from "./elementwise.ts";
import * as embedding from "./embedding.ts";
import type { Builder } from "./kernel.ts";
import * as loss from "./loss.ts";
import * as matmul from "./matmul.ts";
import * as norm from "./norm.ts";
import * as optimizer from "./optimizer.ts";
import * as qkNorm from "./qk_norm.ts";
import * as rope from "./rope.ts";
import * as sampling from "./sampling.ts";

/** The builder of each kernel, by name. The record also holds the other exports of the modules. */
export const builders: {
  readonly [Name in KernelName]: Builder<Name>;
} = {
  ...activation,
  ...attention,
  ...cache,
  ...elementwise,
  ...embedding,
  ...loss,
  ...matmul,
  ...norm,
  ...optimizer,
  ...qkNorm,
  ...rope,
  ...sampling,
};
