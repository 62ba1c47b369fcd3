/**
 * Sums over the rows of a matrix, column by column and in a fixed order, beside other
 * work on the same rows. Gradients of biases and of norm weights are such sums.
 */

import type { Target } from "./kernel.ts";
import {
  lanesOf,
  output,
  type Parameter,
  type Share,
  vectorOf,
} from "./pass.ts";
import { overRows, repeat } from "./text.ts";

/** Elements of a row whose columns a workgroup sums; so many are side by side in memory. */
const ACROSS = 4;

/** Rows that an invocation of a software adapter adds in one iteration, at least. */
const TURN = 4;

/** Column sums over the same rows. */
export interface ColumnSums {
  readonly rows: number;
  readonly N: number;
  /** Invocations of a workgroup, a power of two. */
  readonly size: number;
  /** The outputs, each of N numbers. */
  readonly outputs: readonly string[];
  readonly inputs: readonly Parameter[];
  /** For each output, the term that one element adds: a WGSL expression in `r`, the element's row, and `k`, its index. */
  readonly terms: readonly string[];
}

/**
 * Returns the share of a pass that computes outputs[o][c] += sum over rows of terms[o]. On software adapters an invocation
 * sums all rows of its columns; on hardware the invocations of a workgroup take turns along the rows, and their sums come
 * together as a tree of fixed shape.
 */
export function columnSums(sums: ColumnSums, target: Target): Share {
  const { N, size, outputs, inputs } = sums;
  const lanes = lanesOf(N);
  const F = vectorOf(lanes);
  const common = {
    ...{ target, size },
    parameters: [...outputs.map((name) => output(name, F)), ...inputs],
  };
  // Products of all shapes share one text: it has the width from the output's binding.
  const width = `arrayLength(&${outputs[0]})`;
  const zeros = repeat(outputs.length, (o) => `var sum${o} = ${F}();`);
  if (target.tiling === "register") {
    return {
      ...common,
      each: "invocation",
      count: N / lanes,
      countText: width,
      body: `
let width = ${width};
${zeros}
${allRows(sums)}
${repeat(outputs.length, (o) => `${outputs[o]}[i] += sum${o};`)}`,
    };
  }
  return {
    ...common,
    each: "workgroup",
    count: Math.ceil(N / lanes / ACROSS),
    countText: `(${width} + ${ACROSS - 1}u) / ${ACROSS}u`,
    declarations: `var<workgroup> shares: array<${F}, ${size}>;`,
    body: `
let width = ${width};
${zeros}
${takingTurns(sums)}`,
  };
}

/** Returns the loop over all rows of element `i` of `width`. */
function allRows({ rows, terms }: ColumnSums): string {
  const add = (row: string) =>
    `{
  let r = ${row};
  let k = r * width + i;
${repeat(terms.length, (o) => `  sum${o} += ${terms[o]};`)}
}`;
  return overRows(rows, add, TURN);
}

/** Returns the sums of a workgroup: ACROSS elements of `width`, and as many invocations for each as there are. */
function takingTurns(
  { rows, size, outputs, terms }: ColumnSums,
): string {
  const sharers = size / ACROSS;
  const gather = (o: number) => `
shares[local] = sum${o};
workgroupBarrier();
for (var reach = ${sharers / 2}u; reach > 0u; reach /= 2u) {
  if (sharer < reach) {
    shares[local] += shares[local + reach * ${ACROSS}u];
  }
  workgroupBarrier();
}
if (sharer == 0u && c < width) {
  ${outputs[o]}[c] += shares[local];
}
workgroupBarrier();`;
  return `let c = row * ${ACROSS}u + local % ${ACROSS}u;
let sharer = local / ${ACROSS}u;
if (c < width) {
  for (var r = sharer; r < ${rows}u; r += ${sharers}u) {
    let k = r * width + c;
${repeat(terms.length, (o) => `    sum${o} += ${terms[o]};`)}
  }
}
${repeat(outputs.length, gather)}`;
}
