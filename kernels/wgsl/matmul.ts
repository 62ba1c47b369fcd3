/**
 * The WGSL builder of `matmul`, which selects the variant for a product. The variants
 * themselves are in the files beside this one.
 */

import type { Builder } from "./kernel.ts";
import { registerMatmul } from "./matmul_register.ts";
import { fewRowsMatmul, suitsFewRows } from "./matmul_rows.ts";
import { productName, productVariants } from "./matmul_variants.ts";
import { workgroupMatmul } from "./matmul_workgroup.ts";
import { single } from "./pass.ts";

/**
 * y (+)= alpha a · b (+ bias) (+ beta residual), in the three forms of {@linkcode signatures.matmul}.
 *
 * @throws {RangeError} if the target names a variant that the product does not have
 */
export const matmul: Builder<"matmul"> = (dims, target) => {
  if (target.tiling === "register") return registerMatmul(dims, target);
  const product = productName(dims);
  const name = target.products?.[product];
  if (name === undefined) {
    return suitsFewRows(dims)
      ? single(fewRowsMatmul(dims, target))
      : workgroupMatmul(dims, target);
  }
  const named = productVariants(dims, target)
    .find((variant) => variant.name === name);
  if (named !== undefined) return named.lower();
  throw new RangeError(
    `Cannot compute product ${product}: it has no variant "${name}"`,
  );
};
