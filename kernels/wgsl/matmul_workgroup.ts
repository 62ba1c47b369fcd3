/**
 * Matrix products for hardware: a workgroup computes a tile of y, each invocation a
 * part of it in registers, from tiles of a and b that they bring into workgroup
 * memory together.
 *
 * The gradient of a weight has few outputs and a long K, so K is cut into slices, which
 * makes enough workgroups to fill a GPU.
 */

import type { Feature, Lowering, Target } from "./kernel.ts";
import {
  activationsOf,
  type MatmulDims,
  widthsOf,
  writing,
} from "./matmul_product.ts";
import { fewestSlices, inSlices, sliceLength } from "./matmul_slices.ts";
import { type Parameter, type Share, vectorOf } from "./pass.ts";
import { indent, repeat } from "./text.ts";

/** The rows and columns of a tile of y, multiples of 4. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
}

/** The tile of y that a workgroup computes, and the part of each invocation. All sizes are multiples of 4. */
export interface WorkgroupTile extends Tile {
  /** Rows and columns of an invocation's part. */
  readonly part: { readonly rows: number; readonly columns: number };
}

/** The division of a product among workgroups. */
export interface Partition {
  readonly tile: WorkgroupTile;
  /** The number of slices that K is cut into. */
  readonly slices: number;
  /**
   * The number of steps along K that the text writes out in one turn of its loop, a divisor of 16. Wgpu's compiler
   * unrolls no loops, and where it guards them against endless turns the driver cannot either.
   */
  readonly unroll: number;
}

/**
 * Tiles, largest first: the larger a tile, the less often a and b are read. These take at
 * most 128 invocations and 13 KiB of workgroup memory; every adapter has 256 and 16 KiB.
 */
export const TILES: readonly WorkgroupTile[] = [
  { rows: 128, columns: 64, part: { rows: 8, columns: 8 } },
  { rows: 64, columns: 64, part: { rows: 8, columns: 4 } },
  { rows: 32, columns: 32, part: { rows: 4, columns: 4 } },
];

/** A tile for large products on adapters with more workgroup memory than every one has. Only a measurement chooses it. */
export const LARGE_TILE: WorkgroupTile = {
  rows: 128,
  columns: 128,
  part: { rows: 8, columns: 8 },
};

/** Returns true if the adapter has the invocations and the workgroup memory that a tile takes. */
export function fits(
  tile: WorkgroupTile,
  { invocations, workgroupStorage }: Target,
): boolean {
  const bytes = 16 * DEPTH * (strideOf(tile.rows) + strideOf(tile.columns));
  return sizeOf(tile) <= invocations && bytes <= workgroupStorage;
}

/** Workgroups that keep a GPU busy. */
const BUSY = 128;

/** Numbers along K that workgroup memory holds at a time; divides every slice but the last. */
export const DEPTH = 16;

/** Steps in one turn of the loop along K: a quarter of the turns, and still a short text. */
const UNROLL = 4;

/** The shortest slice of K: K is not cut further even if more workgroups would keep the GPU busier. */
const SHORTEST_SLICE = 256;

/** Returns the partition of a product: the largest tiles that, with the most slices, make at least {@linkcode BUSY} workgroups, else the smallest tiles. */
export function partition(dims: MatmulDims): Partition {
  const most = mostSlices(dims);
  const tile = TILES.find((tile) => tilesOf(dims, tile) * most >= BUSY) ??
    TILES.at(-1)!;
  const wanted = Math.ceil(BUSY / tilesOf(dims, tile));
  const slices = Math.max(fewestSlices(dims.K), Math.min(most, wanted));
  return { tile, slices, unroll: UNROLL };
}

/** Returns the most slices that K is worth cutting into. Only the gradient of a weight has so few tiles that it gains by them. */
export function mostSlices({ form, K }: MatmulDims): number {
  return form === "tn" ? Math.max(1, Math.floor(K / SHORTEST_SLICE)) : 1;
}

/** Returns the number of tiles of all products. */
function tilesOf(
  { count, M, N }: MatmulDims,
  { rows, columns }: Tile,
): number {
  return count * Math.ceil(M / rows) * Math.ceil(N / columns);
}

/** Returns the passes that compute a product with workgroup tiles. */
export function workgroupMatmul(
  dims: MatmulDims,
  target: Target,
  parts: Partition = partition(dims),
): Lowering {
  return inSlices(
    dims,
    parts.slices,
    target,
    (dims, parameters) => {
      const shared = { dims, ...parts };
      return tileShare(shared, inRegisters(shared), parameters, target);
    },
  );
}

/** A product, the tile of a workgroup and the number of slices of K. */
export interface Shared {
  readonly dims: MatmulDims;
  readonly tile: Tile;
  readonly slices: number;
}

/** Texts of a workgroup's work on its tile, whose first row and column are `m` and `n`. */
export interface TileTexts {
  /** Invocations of a workgroup. */
  readonly size: number;
  readonly features?: readonly Feature[];
  /** The tiles of a and b in workgroup memory, and others. */
  readonly declarations: string;
  /** Statements that declare the sums. */
  readonly sums: string;
  /** Statements that bring the numbers from `k0` on of the tile's rows of a and columns of b into workgroup memory. */
  readonly fill: string;
  /** Statements that add their products to the sums. */
  readonly multiply: string;
  /** Statements that call `store` for all of the tile. */
  readonly write: string;
}

/** Returns the share of a pass that computes y[slices,count,M,N]. */
export function tileShare(
  shared: Shared,
  texts: TileTexts,
  parameters: readonly Parameter[],
  target: Target,
): Share {
  const { dims, tile, slices } = shared;
  const { count, M, N, K } = dims;
  const { rows, columns } = tile;
  const tiles = tilesOf(dims, tile);
  const position = count > 1 || slices > 1 ? `row % ${tiles / count}u` : "row";
  const across = Math.ceil(N / columns);
  const length = sliceLength(K, slices);
  return {
    ...{ target, parameters, size: texts.size },
    each: "workgroup",
    ...texts.features && { features: texts.features },
    count: tiles * slices,
    declarations: `
const M = ${M}u;
const N = ${N}u;
const K = ${K}u;

${texts.declarations}

${loader("a", shared)}

${loader("b", shared)}

${activationsOf(dims, vectorOf(widthsOf(dims).y))}
${storer(shared)}`,
    body: `
// The tile starts at row m and column n.
${slices === 1 ? "const slice = 0u;" : `let slice = row / ${tiles}u;`}
${
      count === 1
        ? "const matrix = 0u;"
        : `let matrix = row / ${tiles / count}u % ${count}u;`
    }
let m = ${position} / ${across}u * ${rows}u;
let n = row % ${across}u * ${columns}u;
${texts.sums}

let end = min((slice + 1u) * ${length}u, K);
for (var k0 = slice * ${length}u; k0 < end; k0 += ${DEPTH}u) {
  ${indent(texts.fill, 2)}
  workgroupBarrier();
  ${indent(texts.multiply, 2)}
  workgroupBarrier();
}

${texts.write}`,
  };
}

/** Returns the texts of sums in registers: each invocation has its part of the tile. */
function inRegisters(shared: Shared & Partition): TileTexts {
  const { dims: { count }, tile, unroll } = shared;
  const { rows, columns, part } = tile;
  const width = columns / part.columns;
  return {
    size: sizeOf(tile),
    declarations: `
// ${DEPTH} numbers along K, one a row, of the tile's rows of a and of its columns of b.
var<workgroup> aTile: array<vec4f, ${DEPTH * strideOf(rows)}>;
var<workgroup> bTile: array<vec4f, ${DEPTH * strideOf(columns)}>;`,
    sums: `
// This invocation's part are ${part.rows} rows from down on, and in them every ${width}th vec4f from right on.
let down = local / ${width}u * ${part.rows}u;
let right = local % ${width}u;
${partSums(tile, (i, u) => `var s${i}_${u} = vec4f();`)}`,
    fill: [filler("a", shared), filler("b", shared)].join("\n"),
    multiply: multiplyAll(tile, unroll),
    write: partSums(
      tile,
      (i, u) =>
        `store(slice * ${count}u + matrix, m + down + ${i}u, n + 4u * (right + ${
          u * width
        }u), s${i}_${u});`,
    ),
  };
}

function sizeOf({ rows, columns, part }: WorkgroupTile): number {
  return rows * columns / (part.rows * part.columns);
}

/** Returns the length of a row of the tile of a or b, in vec4f: odd, so that transposing writes have few bank conflicts. */
function strideOf(extent: number): number {
  return extent / 4 + 1;
}

/** Returns a line for each vec4f of an invocation's part: the one in row `i` at position `u`. */
function partSums(
  { part }: WorkgroupTile,
  line: (i: number, u: number) => string,
): string {
  return repeat(part.rows, (i) => repeat(part.columns / 4, (u) => line(i, u)));
}

/** The layout of a or b, and of a tile's part of it. */
export interface TileLayout {
  /** Dims of the operand's rows and columns. */
  readonly rows: "M" | "N" | "K";
  readonly columns: "M" | "N" | "K";
  /** The tile's extent along M or N. */
  readonly extent: number;
  /** The variable with the tile's start along M or N. */
  readonly start: "m" | "n";
}

/** Returns the dims of a's or b's rows and columns, the tile's extent along M or N, and the variable with its start. */
export function layoutOf(
  name: "a" | "b",
  { dims: { form }, tile }: Shared,
): TileLayout {
  if (name === "a") {
    return {
      rows: form === "tn" ? "K" : "M",
      columns: form === "tn" ? "M" : "K",
      extent: tile.rows,
      start: "m",
    };
  }
  return {
    rows: form === "nt" ? "N" : "K",
    columns: form === "nt" ? "K" : "N",
    extent: tile.columns,
    start: "n",
  };
}

/** Returns true if the last tile reaches past the end of this dim. */
function hangsOver(dim: "M" | "N" | "K", { dims, tile }: Shared): boolean {
  return dims[dim] % { M: tile.rows, N: tile.columns, K: DEPTH }[dim] !== 0;
}

/** Returns the WGSL function `loadA` or `loadB`, which reads four numbers of a row, with zeros past its end. */
function loader(name: "a" | "b", shared: Shared): string {
  const { rows, columns } = layoutOf(name, shared);
  const width = widthsOf(shared.dims)[name];
  const outside = [
    ...hangsOver(rows, shared) ? [`row >= ${rows}`] : [],
    ...hangsOver(columns, shared) ? [`column >= ${columns}`] : [],
  ];
  const guard = outside.length === 0
    ? ""
    : `if (${outside.join(" || ")}) { return vec4f(); }`;
  const value = width === 4
    ? `return ${name}[((matrix * ${rows} + row) * ${columns} + column) / 4u];`
    : `let first = (matrix * ${rows} + row) * ${columns} + column;
var four = vec4f(${name}[first], 0.0f, 0.0f, 0.0f);
${
      repeat(3, (i) =>
        `if (column + ${i + 1}u < ${columns}) { four.${
          "yzw"[i]
        } = ${name}[first + ${i + 1}u]; }`)
    }
return four;`;
  return `fn load${name.toUpperCase()}(matrix: u32, row: u32, column: u32) -> vec4f {
  ${indent([guard, value].filter((text) => text !== "").join("\n"), 2)}
}`;
}

/** Returns the loop that copies the tile of a or b into workgroup memory, where each row is one index along K. */
function filler(name: "a" | "b", shared: Shared & Partition): string {
  const { rows, extent, start } = layoutOf(name, shared);
  const load = `load${name.toUpperCase()}`;
  const stride = strideOf(extent);
  const loop = (count: number, body: string) =>
    `for (var i = local; i < ${count}u; i += ${sizeOf(shared.tile)}u) {
  ${indent(body, 2)}
}`;
  if (rows === "K") {
    return loop(
      DEPTH * extent / 4,
      `let r = i / ${extent / 4}u;
let c = i % ${extent / 4}u;
${name}Tile[r * ${stride}u + c] = ${load}(matrix, k0 + r, ${start} + 4u * c);`,
    );
  }
  return loop(
    DEPTH * extent / 16,
    `let r = i / ${DEPTH / 4}u;
let c = i % ${DEPTH / 4}u * 4u;
let block = transpose(mat4x4f(
${
      repeat(
        4,
        (j) => `  ${load}(matrix, ${start} + 4u * r + ${j}u, k0 + c),`,
      )
    }
));
${
      repeat(4, (j) =>
        `${name}Tile[(c + ${j}u) * ${stride}u + r] = block[${j}];`)
    }`,
  );
}

/** Returns the loop over the rows of both tiles, `unroll` rows in a turn. */
function multiplyAll(tile: WorkgroupTile, unroll: number): string {
  if (unroll === 1) {
    return `for (var k = 0u; k < ${DEPTH}u; k++) {
  ${indent(multiply(tile, "k"), 2)}
}`;
  }
  const turn = (first: string) =>
    repeat(unroll, (i) =>
      `{
  ${indent(multiply(tile, `(${first} + ${i}u)`), 2)}
}`);
  if (unroll === DEPTH) return turn("0u");
  return `for (var k = 0u; k < ${DEPTH}u; k += ${unroll}u) {
  ${indent(turn("k"), 2)}
}`;
}

/** Returns the statements that add the outer product of row `k` of both tiles to the sums. */
function multiply(tile: WorkgroupTile, k: string): string {
  const { rows, columns, part } = tile;
  const width = columns / part.columns;
  return [
    repeat(
      part.rows / 4,
      (i) =>
        `let a${i} = aTile[${k} * ${strideOf(rows)}u + down / 4u + ${i}u];`,
    ),
    repeat(
      part.columns / 4,
      (u) =>
        `let b${u} = bTile[${k} * ${strideOf(columns)}u + right + ${
          u * width
        }u];`,
    ),
    partSums(tile, (i, u) => {
      const weight = `a${Math.floor(i / 4)}.${"xyzw"[i % 4]}`;
      return `s${i}_${u} = fma(vec4f(${weight}), b${u}, s${i}_${u});`;
    }),
  ].join("\n");
}

/** Returns the WGSL function `store`, which writes those of four numbers of row m that are within y. */
function storer(shared: Shared): string {
  const { dims } = shared;
  const { y: width } = widthsOf(dims);
  const outside = [
    ...hangsOver("M", shared) ? ["m >= M"] : [],
    ...hangsOver("N", shared) ? ["n >= N"] : [],
  ];
  const guard = outside.length === 0
    ? ""
    : `if (${outside.join(" || ")}) { return; }\n`;
  const write = width === 4
    ? writing("sum", dims, {
      column: "bias[n / 4u]",
      element: "first / 4u",
    })
    : repeat(4, (i) => {
      const [column, element] = [`n + ${i}u`, `first + ${i}u`];
      const sum = `sum.${"xyzw"[i]}`;
      const write = writing(sum, dims, { column: `bias[${column}]`, element });
      return `if (${column} < N) { ${write} }`;
    });
  return `fn store(matrix: u32, m: u32, n: u32, sum: vec4f) {
  ${indent(`${guard}let first = (matrix * M + m) * N + n;\n${write}`, 2)}
}`;
}
