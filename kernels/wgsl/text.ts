/**
 * Text that all WGSL builders share: number literals, indentation, and the grid of
 * workgroups, which folds into two dimensions.
 */

import type { Target } from "./kernel.ts";

/**
 * Returns a WGSL literal of the `f32` nearest to `x`, with the fewest digits that identify it.
 *
 * @throws {RangeError} if `x` is not finite in 32 bits, for which WGSL has no literal
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(f32(0.1), "0.1f");
 * assertEquals(f32(-2), "-2.0f");
 * assertEquals(f32(1e-5), "1e-5f");
 * ```
 */
export function f32(x: number): string {
  const rounded = Math.fround(x);
  if (!Number.isFinite(rounded)) {
    throw new RangeError(`Cannot write ${x} in WGSL: it is not a finite f32`);
  }
  // 9 significant digits tell any two f32 apart.
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(rounded.toPrecision(digits));
    if (Math.fround(short) === rounded) return literal(short);
  }
  return literal(Number(rounded.toPrecision(9)));
}

/** Returns a decimal with a point or an exponent, which WGSL requires before its `f`. */
function literal(x: number): string {
  const size = Math.abs(x);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) {
    return `${x.toExponential().replace("e+", "e")}f`;
  }
  return Number.isInteger(x) ? `${x}.0f` : `${x}f`;
}

/** Returns `text` with every line except the first indented by `spaces`, for use inside an indented template. */
export function indent(text: string, spaces: number): string {
  return text.replaceAll(/\n(?!\n|$)/g, "\n" + " ".repeat(spaces));
}

/** Returns the lines that `line` makes for 0, 1, … n - 1, joined: an unrolled loop. */
export function repeat(n: number, line: (i: number) => string): string {
  return Array.from({ length: n }, (_, i) => line(i)).join("\n");
}

/** The most iterations that the loops of an invocation may make in total: the software adapter llvmpipe silently ends them after 65535. */
export const MOST_ITERATIONS: number = 2 ** 15;

/**
 * Returns a loop over rows 0, 1, … rows - 1, in order.
 *
 * @param add returns the text for the row that a WGSL expression gives
 * @param least rows of an iteration; more where there would be more than {@linkcode MOST_ITERATIONS}
 */
export function overRows(
  rows: number,
  add: (row: string) => string,
  least = 1,
): string {
  const turn = Math.max(least, Math.ceil(rows / MOST_ITERATIONS));
  const whole = rows - rows % turn;
  return `for (var begin = 0u; begin < ${whole}u; begin += ${turn}u) {
${repeat(turn, (j) => add(`begin + ${j}u`))}
}
${repeat(rows - whole, (j) => add(`${whole + j}u`))}`;
}

/** A one-dimensional grid of workgroups, folded into two dimensions if one cannot hold it. */
export interface Grid {
  /** The value of {@linkcode Pass.workgroups}. */
  readonly workgroups: readonly [x: number, y: number, z: number];
  /**
   * The number of the workgroup as a WGSL expression in `group`, the name that the entry point
   * gives to `@builtin(workgroup_id)`. A folded grid has a few workgroups too many: the text must skip
   * numbers from `count` on.
   */
  readonly index: string;
}

/**
 * Returns a grid of at least `count` workgroups.
 *
 * @throws {RangeError} if even two dimensions cannot hold them
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(grid(70000, { workgroupsPerDimension: 65535 }), {
 *   workgroups: [35000, 2, 1],
 *   index: "(group.y * 35000u + group.x)",
 * });
 * ```
 */
export function grid(
  count: number,
  target: Pick<Target, "workgroupsPerDimension">,
): Grid {
  const limit = target.workgroupsPerDimension;
  if (count <= limit) return { workgroups: [count, 1, 1], index: "group.x" };
  const y = Math.ceil(count / limit);
  if (y > limit) {
    throw new RangeError(
      `Cannot dispatch ${count} workgroups: the adapter allows ${limit} by ${limit}`,
    );
  }
  const x = Math.ceil(count / y);
  return { workgroups: [x, y, 1], index: `(group.y * ${x}u + group.x)` };
}
