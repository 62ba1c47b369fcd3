/** Formats the name of a device. */

import type { Backend } from "../../backends/backend.ts";

/** Returns the kind and description of a device, as in `webgpu: llvmpipe (software)`. */
export function deviceName(
  { kind, description }: Pick<Backend, "kind" | "description">,
): string {
  return description.startsWith(kind) ? description : `${kind}: ${description}`;
}
