/**
 * Sums over the rows of a matrix, column by column and in a fixed order: first
 * within stretches of rows, then over the stretches. Gradients of biases and of
 * norm weights are such sums.
 */

import type { Builder, Lowering, Target } from "./kernel.ts";
import {
  input,
  invocations,
  lanesOf,
  output,
  type Parameter,
  vectorOf,
} from "./pass.ts";
import { repeat } from "./text.ts";

/** Rows that one invocation adds. */
const STRETCH = 64;

/** Column sums over the same rows, computed by the same passes. */
export interface ColumnSums {
  readonly rows: number;
  readonly N: number;
  /** The dispatch's outputs, each of N numbers. */
  readonly outputs: readonly string[];
  /** The dispatch's inputs. */
  readonly inputs: readonly Parameter[];
  /** For each output, the term that one element adds: a WGSL expression in `r`, the element's row, and `k`, its index. */
  readonly terms: readonly string[];
}

/** Returns the passes that compute outputs[o][c] += sum over rows of terms[o]. */
export function columnSums(
  { rows, N, outputs, inputs, terms }: ColumnSums,
  target: Target,
): Lowering {
  const lanes = lanesOf(N);
  const F = vectorOf(lanes);
  const width = N / lanes;
  const stretches = Math.ceil(rows / STRETCH);
  const direct = stretches === 1;
  const gather = invocations({
    target,
    parameters: [
      ...outputs.map((name) => output(direct ? name : `${name}Part`, F)),
      ...inputs,
    ],
    count: stretches * width,
    body: `
let c = i % ${width}u;
let begin = i / ${width}u * ${STRETCH}u;
${repeat(outputs.length, (o) => `var sum${o} = ${F}();`)}
var r = begin;
let end = min(begin + ${STRETCH}u, ${rows}u) * ${width}u;
for (var k = begin * ${width}u + c; k < end; k += ${width}u) {
${repeat(outputs.length, (o) => `  sum${o} += ${terms[o]};`)}
  r++;
}
${
      repeat(outputs.length, (o) =>
        direct
          ? `${outputs[o]}[i] += sum${o};`
          : `${outputs[o]}Part[i] = sum${o};`)
    }`,
  });
  if (direct) return { passes: [gather], scratch: {} };

  const add = outputs.map((name) =>
    invocations({
      target,
      parameters: [output(name, F), input(`${name}Part`, F)],
      count: width,
      body: `
var sum = ${F}();
for (var k = i; k < ${stretches * width}u; k += ${width}u) {
  sum += ${name}Part[k];
}
${name}[i] += sum;`,
    })
  );
  return {
    passes: [gather, ...add],
    scratch: Object.fromEntries(
      outputs.map((name) => [`${name}Part`, stretches * N]),
    ),
  };
}

/** db += sum over rows of dy. */
export const columnSum: Builder<"columnSum"> = ({ rows, N }, target) =>
  columnSums({
    rows,
    N,
    outputs: ["db"],
    inputs: [input("dy", vectorOf(lanesOf(N)))],
    terms: ["dy[k]"],
  }, target);
