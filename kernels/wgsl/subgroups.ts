/**
 * Texts of reductions in subgroups: the invocations of a workgroup that an adapter computes in step, of whatever size.
 * A table chooses them in place of trees.
 */

import { ROWS, type Target } from "./kernel.ts";

/** The variant of reductions in which each subgroup of a workgroup reduces its numbers in one operation. */
export const SUBGROUPS = "subgroups";

/**
 * The place of an invocation among the subgroups of its workgroup, which texts with the feature `subgroups` have as `place`:
 * the declaration, the parameter of the entry point, and its first statement.
 */
export const PLACE: readonly [string, string, string] = [
  `struct Place {
  @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) subgroups: u32,
  @builtin(subgroup_invocation_id) invocation: u32,
}
var<private> place: Place;`,
  "\n  placed: Place,",
  "place = placed;",
];

/**
 * Returns true if a table chooses subgroups for reductions.
 *
 * @throws {RangeError} if it names a variant that there is not
 */
export function isInSubgroups({ products }: Target): boolean {
  const variant = products?.[ROWS];
  if (variant === undefined || variant === SUBGROUPS) {
    return variant !== undefined;
  }
  throw new RangeError(`Cannot reduce rows: there is no variant "${variant}"`);
}

/** Returns the statements that reduce `x` over a workgroup: each subgroup at once, and their results in order. */
export function reduceSubgroups(
  name: "total" | "largest",
  x: string,
  combine: (a: string, b: string) => string,
): string {
  return `
  let own = ${name === "total" ? "subgroupAdd" : "subgroupMax"}(${x});
  if (place.invocation == 0u) {
    gathered[place.subgroup] = own;
  }
  workgroupBarrier();
  var result = gathered[0];
  for (var i = 1u; i < place.subgroups; i++) {
    result = ${combine("result", "gathered[i]")};
  }`;
}
