/**
 * Kernels that reduce rows. One text runs on an invocation for each row on software
 * adapters (which gain nothing when neighbouring invocations read neighbouring
 * elements), and on a workgroup for each row on hardware and for long rows.
 */

import type { Pass } from "./kernel.ts";
import { alone, type PassParts, type Share, vectorOf } from "./pass.ts";
import { isInSubgroups, reduceSubgroups } from "./subgroups.ts";
import { MOST_ITERATIONS } from "./text.ts";

/** Reductions over a row. */
export type Reduction = "total" | "largest";

/** The parts of a row pass: those of any pass, and the shape of its rows. */
export interface RowPassParts extends Omit<PassParts, "size"> {
  /** Elements before the first row; 0 if left out. */
  readonly skipped?: number;
  /** Elements in a row. */
  readonly width: number;
  /** The total number of elements, if the last row may be shorter than the others; by default all rows have `width` elements. */
  readonly length?: number;
  /** Numbers in an element. */
  readonly lanes: 1 | 4;
  /** The reductions that the body calls. */
  readonly reductions: readonly Reduction[];
}

/** The longest row that one invocation reduces, in up to four loops; longer rows always get a workgroup. */
const LONGEST_ALONE = MOST_ITERATIONS / 4;

/** The head of a loop over a row, in which `k` is the index of an element. */
export const EACH = "for (var k = first; k < end; k += stride)";

/**
 * Returns a pass over rows. The body may use
 *
 * - `row`, its number, and `start`, the index of its first element;
 * - {@linkcode EACH}, any number of times;
 * - `total(x, local)` and `largest(x, local)`: the sum, or the largest, of all numbers in the
 *   elements `x` that the row's loops gathered. All invocations of the row must call it, and all
 *   get the result;
 * - `leader`: true for one invocation of the row.
 */
export function rowPass(parts: RowPassParts): Pass {
  return alone(rowShare(parts));
}

/** Returns what {@linkcode rowPass} is made of, for a pass with another share. */
export function rowShare(parts: RowPassParts): Share {
  const { target, width, length, lanes, reductions, declarations = "", body } =
    parts;
  const before = parts.skipped ? ` + ${parts.skipped}u` : "";
  const end = `start + ${width}u`;
  const opening = [
    `let start = row * ${width}u${before};`,
    `let end = ${length === undefined ? end : `min(${end}, ${length}u)`};`,
  ];
  if (target.tiling === "register" && width <= LONGEST_ALONE) {
    return {
      ...parts,
      each: "invocation",
      declarations: [
        ...reductions.map((name) => reduction(name, lanes)),
        declarations,
      ].join("\n"),
      body: [
        "let row = i;",
        ...opening,
        "let first = start;",
        "const stride = 1u;",
        "const leader = true;",
        body.trim(),
      ].join("\n"),
    };
  }
  const size = groupSize(width, target.invocations);
  const inSubgroups = isInSubgroups(target);
  return {
    ...parts,
    each: "workgroup",
    features: inSubgroups ? ["subgroups"] : [],
    size,
    declarations: [
      `var<workgroup> gathered: array<f32, ${size}>;`,
      ...reductions.map((name) => reduction(name, lanes, size, inSubgroups)),
      declarations,
    ].join("\n"),
    body: [
      ...opening,
      "let first = start + local;",
      `const stride = ${size}u;`,
      "let leader = local == 0u;",
      body.trim(),
    ].join("\n"),
  };
}

/** Returns the number of invocations for a row: the number of its elements, rounded up to a power of two and limited to between 32 and 256, and to `most`. */
function groupSize(width: number, most: number): number {
  const limit = Math.min(256, 2 ** Math.floor(Math.log2(most)));
  return Math.min(limit, Math.max(32, 2 ** Math.ceil(Math.log2(width))));
}

/**
 * Returns the WGSL function `name`, which reduces the numbers within an element and, if `size` is given, those of a workgroup:
 * as a tree of fixed shape, or in subgroups of whatever size the adapter has, whose results come together in order.
 */
function reduction(
  name: Reduction,
  lanes: 1 | 4,
  size?: number,
  inSubgroups?: boolean,
): string {
  const combine = (a: string, b: string) =>
    name === "total" ? `(${a} + ${b})` : `max(${a}, ${b})`;
  const within = lanes === 1
    ? "x"
    : combine(combine("x.x", "x.y"), combine("x.z", "x.w"));
  const head = `fn ${name}(x: ${vectorOf(lanes)}, local: u32) -> f32 {`;
  if (size === undefined) {
    return `${head}
  return ${within};
}`;
  }
  const ofWorkgroup = inSubgroups ? reduceSubgroups(name, within, combine) : `
  gathered[local] = ${within};
  workgroupBarrier();
  for (var reach = ${size / 2}u; reach > 0u; reach /= 2u) {
    if (local < reach) {
      gathered[local] = ${
    combine("gathered[local]", "gathered[local + reach]")
  };
    }
    workgroupBarrier();
  }
  let result = gathered[0];`;
  return `${head}${ofWorkgroup}
  workgroupBarrier(); // all have read it before the next reduction writes
  return result;
}`;
}
