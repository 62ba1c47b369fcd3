/** The reference backend with a mistake, under WebGPU's name. */

import type { Executor } from "../lib/backends/backend.ts";
import { openReference } from "../lib/backends/reference.ts";
import { type Mistake, plant } from "../lib/checks/mistakes.ts";

/**
 * Opens the reference backend with a mistake; without one it only goes by another name. As
 * WebGPU it is judged by the wide tolerances of float32: a mistake seen there is seen everywhere.
 */
export function openFaulty(mistake: Mistake = {}): Executor {
  return plant(mistake, openReference(), { kind: "webgpu" });
}
