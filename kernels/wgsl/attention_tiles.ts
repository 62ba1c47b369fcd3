/**
 * The parts of attention for hardware. A workgroup owns a block of 32 rows of one head
 * (queries, or in the last backward pass keys) and loops over the other side in tiles of
 * 32 columns. Workgroup memory holds a stretch of 32 numbers of the head of both at a
 * time, whatever the head size; stretches are multiplied like tiles of a matrix product.
 *
 * The 64 invocations form a square. Invocation (tx, ty) holds the scores of rows 4ty to
 * 4ty + 3 with columns 4tx to 4tx + 3; and of the results of its rows, vec4f tx of each
 * stretch. Heads may have any size: the last stretch is padded with zeros. The kernels
 * are in `attention_tiles_forward.ts` and `attention_tiles_backward.ts`.
 */

import { lanesOf } from "./pass.ts";
import { repeat } from "./text.ts";

/** Invocations of a workgroup. */
export const SIZE = 64;

/** The division of heads of one size into stretches. */
export interface Cut {
  /** Stretches of 32 numbers in a head. */
  readonly stretches: number;
  /**
   * Stretches of the results that one workgroup computes. The results of wider heads would not fit in
   * registers, so several workgroups divide the results among them, and each computes all scores itself.
   */
  readonly taken: number;
  /** The number of workgroups that share a block. */
  readonly shares: number;
}

/** Cuts heads of HS numbers into stretches. */
export function cutHead(HS: number): Cut {
  const stretches = Math.ceil(HS / 32);
  const shares = Math.ceil(stretches / 4);
  return { stretches, taken: Math.ceil(stretches / shares), shares };
}

/** Declarations of the tiles' workgroup memory (12.5 KiB). */
export const TILES = `
var<workgroup> rows: array<vec4f, 256>; // [32][8], a stretch of each row
var<workgroup> columns: array<vec4f, 288>; // [32][8 + 1], of each column; the 1 keeps them in different banks
var<workgroup> weights: array<vec4f, 256>; // [32][8], of each row a number for each column
`;

/** Returns the statements that set tx, ty and, from `row`, the number of the workgroup, `share`, `head` and `block` of the head. */
export function place(blocks: number, { shares }: Cut): string {
  return `
let tx = local % 8u;
let ty = local / 8u;
let share = row % ${shares}u;
let block = row / ${shares}u % ${blocks}u;
let head = row / ${shares * blocks}u;`;
}

/** Returns the text for each of the invocation's four rows. */
export function eachRow(text: (r: number) => string): string {
  return repeat(4, text);
}

/** Returns the index of the first of the eight vec4f of the invocation's row r in a tile. */
export function rowAt(r: number): string {
  return `(4u * ty + ${r}u) * 8u`;
}

/** Returns true if the stretches of a block's workgroups end exactly at the end of the head. */
function fits(HS: number): boolean {
  const { taken, shares } = cutHead(HS);
  return HS === 32 * taken * shares;
}

/** Returns statements for each lane of vec4f `d`, guarded by the end of the head. Direct3D's compiler refuses a store to a lane by a variable index. */
function eachLane(statement: (lane: string, at: string) => string): string {
  return ["x", "y", "z", "w"].map((lane, c) =>
    `if (4u * d + ${c}u < D) { ${statement(lane, `head + 4u * d + ${c}u`)} }`
  ).join("\n");
}

/** Returns the WGSL function `fn ARRAYAt(head, d)`, which reads numbers 4d to 4d + 3 of the head that starts at `head`, with zeros past its end. */
export function reader(array: string, HS: number): string {
  const four = `
${fits(HS) ? "" : "if (d >= D) { return vec4f(); }"}
return ${array}[head + d];`;
  const one = `
var x = vec4f();
${eachLane((lane, at) => `x.${lane} = ${array}[${at}];`)}
return x;`;
  return `
fn ${array}At(head: u32, d: u32) -> vec4f {
${lanesOf(HS) === 4 ? four : one}
}
`;
}

/** Returns the WGSL function `fn ARRAYPut(head, d, x)`, which writes the numbers that `ARRAYAt` reads. */
export function writer(array: string, HS: number): string {
  const four = `
${fits(HS) ? "" : "if (d >= D) { return; }"}
${array}[head + d] = x;`;
  const one = eachLane((lane, at) => `${array}[${at}] = x.${lane};`);
  return `
fn ${array}Put(head: u32, d: u32, x: vec4f) {
${lanesOf(HS) === 4 ? four : one}
}
`;
}

/** The content of a tile, as WGSL expressions. */
export interface Content {
  /** The position of the first row or column. */
  readonly from: string;
  /** The end of the positions; rows or columns from it on are zeros. */
  readonly end: string;
  /** The value of vec4f `d` of the head at position `at`. */
  readonly value: string;
}

/** Returns the loop that fills a tile with a stretch of its rows or columns; in `into`, n is the number of the row or column. */
function fill(
  { from, end, value }: Content,
  { stretch, into }: { readonly stretch: string; readonly into: string },
): string {
  return `
for (var e = local; e < 256u; e += ${SIZE}u) {
let n = e / 8u;
let at = ${from} + n;
let d = 8u * ${stretch} + e % 8u;
var x = vec4f();
if (at < ${end}) { x = ${value}; }
${into} = x;
}`;
}

/** Returns declarations of `NAME0` to `NAME3`, the dot products of the invocation's rows with its four columns. */
export function products(
  { stretches }: Cut,
  name: string,
  sides: { readonly rows: Content; readonly columns: Content },
): string {
  const stretch = "stretch";
  const rows = fill(sides.rows, { stretch, into: "rows[e]" });
  // Column 4tx + c is stored at index 8c + tx, so that neighbouring invocations read neighbouring memory.
  const into = "columns[(n % 4u * 8u + n / 4u) * 9u + e % 8u]";
  const columns = fill(sides.columns, { stretch, into });
  const column = (c: number) =>
    `let c${c} = columns[(${8 * c}u + tx) * 9u + d];`;
  const row = (r: number) => `
let r${r} = rows[${rowAt(r)} + d];
${name}${r} += vec4f(dot(r${r}, c0), dot(r${r}, c1), dot(r${r}, c2), dot(r${r}, c3));`;
  return `
${eachRow((r) => `var ${name}${r} = vec4f();`)}
for (var stretch = 0u; stretch < ${stretches}u; stretch++) {
workgroupBarrier(); // all are done with the tiles
${rows}
${columns}
workgroupBarrier();
for (var d = 0u; d < 8u; d++) {
${repeat(4, column)}
${eachRow(row)}
}
}`;
}

/** Returns declarations of `NAME0_0` and so on, the results of the invocation's rows, a vec4f for each stretch taken. */
export function results({ taken }: Cut, name: string): string {
  return eachRow((r) =>
    repeat(taken, (s) => `var ${name}${r}_${s} = vec4f();`)
  );
}

/** Returns the statements that store the results of row r, each computed from `NAMEr_s` by `value`, in the head of `array` at `head`. */
export function putResults(
  { taken }: Cut,
  { array, head, value }: {
    readonly array: string;
    readonly head: string;
    readonly value: (s: number) => string;
  },
): string {
  return repeat(
    taken,
    (s) =>
      `${array}Put(${head}, 8u * (${taken}u * share + ${s}u) + tx, ${
        value(s)
      });`,
  );
}

/**
 * Returns the statements that add to the results, for each row, the sum over the tile's columns of weight times
 * column. All invocations must have finished with `columns` before them; after them, some may still read `weights`.
 *
 * @param options with `bounded`, row r uses the first `seen`r columns only, a number that grows from row
 * to row; without it, the weights of columns that a row must not use are 0
 */
export function accumulate(
  { taken }: Cut,
  name: string,
  { columns, bounded = false }: {
    readonly columns: Content;
    readonly bounded?: boolean;
  },
): string {
  const stretch = (s: number) => {
    const add = (r: number) => `
let w${r} = weights[${rowAt(r)} + k];
${name}${r}_${s} = fma(vec4f(w${r}.x), c0, ${name}${r}_${s});
${name}${r}_${s} = fma(vec4f(w${r}.y), c1, ${name}${r}_${s});
${name}${r}_${s} = fma(vec4f(w${r}.z), c2, ${name}${r}_${s});
${name}${r}_${s} = fma(vec4f(w${r}.w), c3, ${name}${r}_${s});`;
    const addOne = (r: number) => `
if (k < seen${r}) {
let w = weights[${rowAt(r)} + k / 4u][k % 4u];
${name}${r}_${s} = fma(vec4f(w), c, ${name}${r}_${s});
}`;
    const rest = `
for (var k = seen0 / 4u * 4u; k < seen3; k++) {
let c = columns[k * 9u + tx];
${eachRow(addOne)}
}`;
    const tile = fill(columns, {
      stretch: `(${taken}u * share + ${s}u)`,
      into: "columns[n * 9u + e % 8u]",
    });
    return `
${s > 0 ? "workgroupBarrier(); // all are done with the columns" : ""}
${tile}
workgroupBarrier();
for (var k = 0u; k < ${bounded ? "seen0 / 4u" : "8u"}; k++) {
${repeat(4, (c) => `let c${c} = columns[(4u * k + ${c}u) * 9u + tx];`)}
${eachRow(add)}
}
${bounded ? rest : ""}`;
  };
  return repeat(taken, stretch);
}
