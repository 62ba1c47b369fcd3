/**
 * The WGSL builder of `matmul`, which selects the variant for a product. The variants
 * themselves are in the files beside this one.
 */

import type { Builder } from "./kernel.ts";
import { registerMatmul } from "./matmul_register.ts";
import { FEW_ROWS, fewRowsMatmul } from "./matmul_rows.ts";
import { fewestSlices } from "./matmul_slices.ts";
import { workgroupMatmul } from "./matmul_workgroup.ts";
import { single } from "./pass.ts";

/** y (+)= alpha a · b (+ bias) (+ beta residual), in the three forms of {@linkcode signatures.matmul}. */
export const matmul: Builder<"matmul"> = (dims, target) => {
  if (target.tiling === "register") return registerMatmul(dims, target);
  const { form, count, M, K } = dims;
  if (
    form === "nt" && count === 1 && M <= FEW_ROWS && fewestSlices(K) === 1
  ) {
    return single(fewRowsMatmul(dims, target));
  }
  return workgroupMatmul(dims, target);
};
