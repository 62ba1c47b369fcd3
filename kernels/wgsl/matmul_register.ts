/**
 * Matrix products for software adapters: each invocation computes a large tile in
 * registers, straight from storage. The eight invocations of a workgroup are the
 * lanes of one SIMD vector, side by side along N.
 *
 * On such an adapter a load costs as much as a dozen multiply-adds, whether it reads
 * one address or eight, and workgroup memory is no faster. So larger tiles are faster,
 * until compiling their text takes too long. Unrolled stores would take half of the
 * compile time, so a loop stores the tile.
 */

import type { Lowering, Target } from "./kernel.ts";
import {
  activationsOf,
  type MatmulDims,
  widthsOf,
  writing,
} from "./matmul_product.ts";
import { fewestSlices, inSlices, sliceLength } from "./matmul_slices.ts";
import { type Parameter, type Share, vectorOf } from "./pass.ts";
import { indent } from "./text.ts";

/** Invocations of a workgroup. */
const LANES = 8;

/** The largest tile, in rows and columns of y, for products of at least `operations` operations. */
const TILES = [
  { operations: 20e6, rows: 32, columns: 16 },
  { operations: 2e6, rows: 8, columns: 8 },
  { operations: 0, rows: 4, columns: 4 },
] as const;

/** The tile of y that one invocation computes. */
export interface RegisterTile {
  /** Rows of y: a multiple of 4, or less than 4. */
  readonly rows: number;
  /** Elements of y in each row: every eighth element of those that the workgroup computes. */
  readonly units: number;
}

/**
 * Returns the tile for a product: larger for more work, since larger tiles take longer to
 * compile (some 0.6, 0.1 and 0.05 s for the three), and such that the last tiles reach
 * little beyond the edges of y.
 */
function registerTile(dims: MatmulDims): RegisterTile {
  const { count, M, N, K } = dims;
  const { y } = widthsOf(dims);
  const { rows, columns } = TILES.find(({ operations }) =>
    2 * count * M * N * K >= operations
  )!;
  const evenly = Math.ceil(M / Math.ceil(M / rows));
  return {
    rows: evenly < 4 ? evenly : 4 * Math.ceil(evenly / 4),
    units: Math.ceil(N / LANES / y / Math.ceil(N / LANES / columns)),
  };
}

/** A product, its tiles and its slices. */
interface Tiled {
  readonly dims: MatmulDims;
  readonly tile: RegisterTile;
  readonly slices: number;
}

/** Returns the passes that compute a product with register tiles. */
export function registerMatmul(
  dims: MatmulDims,
  target: Target,
  tile: RegisterTile = registerTile(dims),
): Lowering {
  const slices = fewestSlices(dims.K);
  return inSlices(
    dims,
    slices,
    target,
    (dims, parameters) => tileShare({ dims, tile, slices }, parameters, target),
  );
}

/**
 * Computes y[slices,count,M,N].
 *
 * Of M and K, the text contains only the one that all products of a plan share (the rows,
 * B·T). It computes the other dims from the lengths of the operands, whose bindings have
 * exactly those lengths. So all products of one form share one text, compiled once.
 */
function tileShare(
  tiled: Tiled,
  parameters: readonly Parameter[],
  target: Target,
): Share {
  const { dims, tile, slices } = tiled;
  const { count } = dims;
  const across = LANES * tile.units;
  const tiles = Math.ceil(dims.M / tile.rows) *
    Math.ceil(dims.N / widthsOf(dims).y / across);
  return {
    target,
    each: "workgroup",
    parameters,
    count: tiles * count * slices,
    size: LANES,
    declarations: activationsOf(dims, vectorOf(widthsOf(dims).y)),
    body: `
${sizes(dims)}
${slice(tiled, tiles)}
${matrixOf(tiled, tiles)}
// This invocation's tile: ${tile.rows} rows from m on, elements n0 to n${
      tile.units - 1
    } of each.
let tilesAcross = (yRow + ${across - 1}u) / ${across}u;
let m = row ${
      slices > 1 || count > 1 ? `% ${tiles}u ` : ""
    }/ tilesAcross * ${tile.rows}u;
${lines(elements(tiled))}
${lines(initialSums(tiled))}
${multiply(tiled)}
${store(tiled)}`,
  };
}

/** Returns declarations of M, N, K, and of the number of elements in a row of each operand. */
function sizes(dims: MatmulDims): string {
  const { form, M, K } = dims;
  const { a, b, y } = widthsOf(dims);
  const count = (name: string, width: 1 | 4) =>
    over(times(`arrayLength(&${name})`, width), dims.count);
  const shared = form === "tn"
    ? `const K = ${K}u;
let M = ${count("a", a)} / K;`
    : `const M = ${M}u;
let K = ${count("a", a)} / M;`;
  return `${shared}
let N = ${count("b", b)} / K;
let aRow = ${over(form === "tn" ? "M" : "K", a)};
let bRow = ${over(form === "nt" ? "K" : "N", b)};
let yRow = ${over("N", y)};`;
}

/** Returns declarations of `begin` and `end`, the range of K to sum over, and of `slice` if there are several. */
function slice({ dims, slices }: Tiled, tiles: number): string {
  if (slices === 1) return "const begin = 0u;\nlet end = K;";
  const { count, K } = dims;
  const length = sliceLength(K, slices);
  return `let slice = row / ${tiles * count}u;
let begin = slice * ${length}u;
let end = min(begin + ${length}u, K);`;
}

/** If there are several products, returns declarations of the number of this one, and of the indices at which its matrices begin. */
function matrixOf({ dims: { form, count } }: Tiled, tiles: number): string {
  if (count === 1) return "";
  return `let matrix = row / ${tiles}u % ${count}u;
let aFirst = matrix * ${form === "tn" ? "K" : "M"} * aRow;
let bFirst = matrix * ${form === "nt" ? "N" : "K"} * bRow;`;
}

/** Returns the text of the element of a or b at this index of its matrix. */
function elementAt(name: "a" | "b", { dims }: Tiled, index: string): string {
  return `${name}[${dims.count === 1 ? "" : `${name}First + `}${index}]`;
}

/** Returns declarations of `n0`, `n1`, …, the indices of the tile's elements in a row of y; if tiles reach past the row's end, also of `at0`, …, the nearest indices within it. */
function elements(tiled: Tiled): string[] {
  const { units } = tiled.tile;
  return upTo(units).flatMap((u) => [
    u === 0
      ? `let n0 = row % tilesAcross * ${LANES * units}u + local;`
      : `let n${u} = n0 + ${LANES * u}u;`,
    ...hangsOver(tiled).across ? [`let at${u} = min(n${u}, yRow - 1u);`] : [],
  ]);
}

/** Returns whether the last tiles reach past the edges of y: `down` its last row, `across` its last column. */
function hangsOver({ dims, tile }: Tiled) {
  const { y } = widthsOf(dims);
  return {
    down: dims.M % tile.rows !== 0,
    across: dims.N / y % (LANES * tile.units) !== 0,
  };
}

/** Returns the name of element `u`'s index, for reading: within the row even where tiles reach past its end. */
function place(tiled: Tiled, u: number): string {
  return hangsOver(tiled).across ? `at${u}` : `n${u}`;
}

/** Returns declarations of the sums, e.g. `s3_1` for row 3 and element 1. They start with the bias, unless the sums have a factor. */
function initialSums(tiled: Tiled): string[] {
  const { dims, tile } = tiled;
  const units = upTo(tile.units);
  const zero = widthsOf(dims).y === 4 ? "vec4f()" : "0.0f";
  const startsWithBias = dims.bias && dims.alpha === 1;
  return [
    ...dims.bias
      ? units.map((u) => `let bias${u} = bias[${place(tiled, u)}];`)
      : [],
    ...upTo(tile.rows).flatMap((i) =>
      units.map((u) =>
        `var s${i}_${u} = ${startsWithBias ? `bias${u}` : zero};`
      )
    ),
  ];
}

/** The text of one iteration of the loop over K, in parts. */
interface Turn {
  /** Numbers along K that an iteration takes. */
  readonly step: number;
  /** Returns the loads from b that the iteration needs for element `u`. */
  readonly loadB: (u: number) => readonly string[];
  /** Rows whose numbers of a are loaded together. */
  readonly block: number;
  /** Returns the loads from a that the iteration needs for the block of rows from `i` on. */
  readonly loadA: (i: number) => readonly string[];
  /** Returns the expression that the iteration adds to the sum of row `i` and element `u`. */
  readonly product: (i: number, u: number) => string;
}

function multiply(tiled: Tiled): string {
  const { dims, tile } = tiled;
  const turn = { nt: turnNt, nn: turnNn, tn: turnTn }[dims.form](tiled);
  const units = upTo(tile.units);
  const body = [
    ...units.flatMap(turn.loadB),
    ...upTo(tile.rows / turn.block).flatMap((block) => {
      const first = block * turn.block;
      return [
        ...turn.loadA(first),
        ...upTo(turn.block).flatMap((i) =>
          units.map((u) =>
            `s${first + i}_${u} += ${turn.product(first + i, u)};`
          )
        ),
      ];
    }),
  ];
  return `for (var k = begin; k < end; k += ${turn.step}u) {
  ${indent(lines(body), 2)}
}`;
}

/** Returns the index of the tile's row `i` in a, or of the last row of a if the tile's row is past its end. */
function rowOfA(tiled: Tiled, i: number): string {
  const there = plus("m", i);
  return hangsOver(tiled).down ? `min(${there}, M - 1u)` : there;
}

/** a[M,K] · b[N,K]ᵀ: inner products. */
function turnNt(tiled: Tiled): Turn {
  const { a: step, y } = widthsOf(tiled.dims);
  const k = over("k", step);
  return {
    step,
    loadB: (u) =>
      upTo(y).map((j) => {
        const n = plus(times(place(tiled, u), y), j);
        const element = elementAt("b", tiled, `${n} * bRow + ${k}`);
        return `let b${u}_${j} = ${element};`;
      }),
    block: 1,
    loadA: (i) => [
      `let a${i} = ${
        elementAt("a", tiled, `${rowOfA(tiled, i)} * aRow + ${k}`)
      };`,
    ],
    product: (i, u) => {
      const columns = upTo(y).map((j) =>
        step === 4 ? `dot(a${i}, b${u}_${j})` : `a${i} * b${u}_${j}`
      );
      return y === 4 ? `vec4f(${columns.join(", ")})` : columns.join();
    },
  };
}

/** a[M,K] · b[K,N]: sums of rows of b, weighted by a. */
function turnNn(tiled: Tiled): Turn {
  const { a: step } = widthsOf(tiled.dims);
  return {
    step,
    loadB: (u) => loadRowsOfB(tiled, step, u),
    block: 1,
    loadA: (i) => [
      `let a${i} = ${
        elementAt("a", tiled, `${rowOfA(tiled, i)} * aRow + ${over("k", step)}`)
      };`,
    ],
    product: (i, u) => weighted(step, u, (s) => component(`a${i}`, step, s)),
  };
}

/** a[K,M]ᵀ · b[K,N]: sums of rows of b, weighted by columns of a. */
function turnTn(tiled: Tiled): Turn {
  const { dims } = tiled;
  const { a: block } = widthsOf(dims);
  const step = [4, 2].find((step) => dims.K % step === 0) ?? 1;
  const column = (i: number) => {
    const there = plus(over("m", block), i / block);
    return hangsOver(tiled).down ? `min(${there}, aRow - 1u)` : there;
  };
  return {
    step,
    loadB: (u) => loadRowsOfB(tiled, step, u),
    block,
    loadA: (i) =>
      upTo(step).map((s) =>
        `let a${i}_${s} = ${
          elementAt("a", tiled, `${plus("k", s)} * aRow + ${column(i)}`)
        };`
      ),
    product: (i, u) =>
      weighted(
        step,
        u,
        (s) => component(`a${i - i % block}_${s}`, block, i % block),
      ),
  };
}

/** Returns loads of element `u` of rows k, k + 1, … of b. */
function loadRowsOfB(tiled: Tiled, step: number, u: number): string[] {
  return upTo(step).map((s) =>
    `let b${u}_${s} = ${
      elementAt("b", tiled, `${plus("k", s)} * bRow + ${place(tiled, u)}`)
    };`
  );
}

/** Returns the weighted sum of the elements that {@linkcode loadRowsOfB} loads. */
function weighted(
  step: number,
  u: number,
  weight: (s: number) => string,
): string {
  return upTo(step).map((s) => `${weight(s)} * b${u}_${s}`).join(" + ");
}

/** Returns the loop that writes the sums, with the residual added if there is one. Each iteration writes two rows, then moves the sums of the others up by two rows. */
function store(tiled: Tiled): string {
  const { rows, units } = tiled.tile;
  const batch = rows < 4 ? rows : 2;
  const write = lines(upTo(batch).map((i) => storeRow(tiled, i)));
  if (rows === batch) return `let i = m;\n${write}`;
  const move = upTo(rows - batch).flatMap((i) =>
    upTo(units).map((u) => `s${i}_${u} = s${i + batch}_${u};`)
  );
  // Counting from m instead of 0 hides the number of iterations from drivers, which would unroll the loop.
  return `for (var i = m; i < m + ${rows}u; i += ${batch}u) {
  ${indent(write, 2)}
  ${indent(lines(move), 2)}
}`;
}

function storeRow(tiled: Tiled, i: number): string {
  const { down, across } = hangsOver(tiled);
  const { dims } = tiled;
  const { count, alpha, bias } = dims;
  const matrix = [
    ...tiled.slices > 1 ? [times("slice", count)] : [],
    ...count > 1 ? ["matrix"] : [],
  ].join(" + ");
  const row = plus(matrix === "" ? "i" : `((${matrix}) * M + i)`, i);
  const writes = upTo(tiled.tile.units).map((u) => {
    const at = `${row} * yRow + n${u}`;
    // Sums without a factor begin with the bias.
    const added = { ...dims, bias: bias && alpha !== 1 };
    const places = { column: `bias${u}`, element: at };
    const write = writing(`s${i}_${u}`, added, places);
    return across ? `if (n${u} < yRow) { ${write} }` : write;
  });
  return down
    ? `if (i + ${i}u < M) {
  ${indent(lines(writes), 2)}
}`
    : lines(writes);
}

/** Returns the text of component `i` of an element of 1 or 4 numbers. */
function component(name: string, width: 1 | 4, i: number): string {
  return width === 1 ? name : `${name}.${"xyzw"[i]}`;
}

function plus(term: string, n: number): string {
  return n === 0 ? term : `(${term} + ${n}u)`;
}

function times(factor: string, n: number): string {
  return n === 1 ? factor : `${factor} * ${n}u`;
}

function over(dividend: string, n: number): string {
  return n === 1 ? dividend : `${dividend} / ${n}u`;
}

function upTo(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

function lines(statements: readonly string[]): string {
  return statements.join("\n");
}
