/** Types that the writers of other programs' formats share. */

import type { Architecture } from "./architectures.ts";
import type { FloatType } from "./floats.ts";

/** A file of another program. */
export interface ExportedFile {
  /** Name in the folder; for a format with a single file, its usual name. */
  readonly name: string;
  /** Returns the bytes in pieces, which are made as they are asked for: a large model is not held twice. */
  readonly pieces: () => Iterable<Uint8Array>;
}

/** Settings of an export. */
export interface ExportSettings {
  /** The architecture, which fits the model. */
  readonly architecture: Architecture;
  /** Float type of the weights. */
  readonly dtype: FloatType;
}
