/** Kernels that select rows: rows of tables by token and by position, their gradients, and the last row of each sequence. */

import type { Builder } from "./kernel.ts";
import {
  input,
  invocations,
  lanesOf,
  operandsOf,
  output,
  single,
  vectorOf,
} from "./pass.ts";
import { MOST_ITERATIONS, overRows } from "./text.ts";

/** x[b, t] = wte[tokens[b, t]] + table[t + start[b]]. */
export const embedding: Builder<"embedding"> = (dims, target) => {
  const { B, T, C, V, L, positions, start } = dims;
  const lanes = lanesOf(C);
  const F = vectorOf(lanes);
  const width = C / lanes;
  const position = start
    ? `row % ${T}u + u32(start[row / ${T}u])`
    : `row % ${T}u`;
  return single(invocations({
    target,
    parameters: operandsOf("embedding", dims, { f32: F }),
    count: B * T * width,
    body: `
let row = i / ${width}u; // b · T + t
let c = i % ${width}u;
let token = min(u32(tokens[row]), ${V - 1}u);
${
      positions
        ? `let position = min(${position}, ${L - 1}u);
x[i] = wte[token * ${width}u + c] + table[position * ${width}u + c];`
        : `x[i] = wte[token * ${width}u + c];`
    }`,
  }));
};

/**
 * dwte[v] += sum of dx over the rows with token v, in the order of the rows: a first pass
 * chains the rows of each token, a second walks the chains. That costs V·rows comparisons
 * and rows·C additions, and needs no atomics.
 */
export const embeddingBackward: Builder<"embeddingBackward"> = (
  { rows, C, V },
  target,
) => {
  const lanes = lanesOf(C);
  const F = vectorOf(lanes);
  const width = C / lanes;
  const none = `${rows}u`;
  const chain = (begin: number, end: number) =>
    invocations({
      target,
      parameters: [
        output("head", "u32"),
        output("next", "u32"),
        input("tokens", "i32"),
      ],
      count: V,
      body: `
var last = ${none};
head[i] = ${none};
for (var r = ${begin}u; r < ${end}u; r++) {
  if (u32(tokens[r]) == i) {
    if (last == ${none}) {
      head[i] = r;
    } else {
      next[last] = r;
    }
    next[r] = ${none};
    last = r;
  }
}`,
    });
  const walk = invocations({
    target,
    parameters: [
      output("dwte", F),
      input("dx", F),
      input("head", "u32"),
      input("next", "u32"),
    ],
    count: V * width,
    body: `
let v = i / ${width}u;
let c = i % ${width}u;
var r = head[v];
if (r == ${none}) { return; }
var sum = ${F}();
while (r != ${none}) {
  sum += dx[r * ${width}u + c];
  r = next[r];
}
dwte[i] += sum;`,
  });
  const parts = Math.ceil(rows / MOST_ITERATIONS);
  const passes = Array.from({ length: parts }, (_, part) => [
    chain(part * MOST_ITERATIONS, Math.min((part + 1) * MOST_ITERATIONS, rows)),
    walk,
  ]);
  return { passes: passes.flat(), scratch: { head: V, next: rows } };
};

/** dtable[t] += sum over b of dx[b, t]. */
export const positionBackward: Builder<"positionBackward"> = (
  { B, T, C },
  target,
) => {
  const lanes = lanesOf(C);
  const F = vectorOf(lanes);
  const width = T * C / lanes;
  return single(invocations({
    target,
    parameters: [output("dtable", F), input("dx", F)],
    count: width,
    body: `
var sum = ${F}();
${overRows(B, (row) => `sum += dx[(${row}) * ${width}u + i];`)}
dtable[i] += sum;`,
  }));
};

/** y[b] = x[b, count[b] - 1], or 0 where a row is empty. */
export const selectLast: Builder<"selectLast"> = ({ B, T, C }, target) => {
  const lanes = lanesOf(C);
  const F = vectorOf(lanes);
  const width = C / lanes;
  return single(invocations({
    target,
    parameters: [output("y", F), input("x", F), input("count", "i32")],
    count: B * width,
    body: `
let b = i / ${width}u;
let c = i % ${width}u;
let last = min(count[b], ${T}) - 1;
if (last < 0) {
  y[i] = ${F}();
} else {
  y[i] = x[(b * ${T}u + u32(last)) * ${width}u + c];
}`,
  }));
};
