/**
 * Matrix products by the matrix units of a GPU (tensor cores, simdgroup matrices): a subgroup multiplies small matrices
 * at once. WebGPU has no standard for them; these texts are for Chromium's experiment.
 */

import {
  type Lowering,
  MATRICES,
  type MatrixShape,
  type Target,
} from "./kernel.ts";
import type { MatmulDims } from "./matmul_product.ts";
import { inSlices } from "./matmul_slices.ts";
import {
  DEPTH,
  layoutOf,
  type Shared,
  tileShare,
  type TileTexts,
} from "./matmul_workgroup.ts";
import { indent, repeat } from "./text.ts";

/** Subgroups along each side of a workgroup's tile. */
const SUBGROUPS = 2;

/** Matrices along each side of a subgroup's part of the tile. */
const SIDES = [2, 4] as const;

/** A product by matrix units. */
export interface MatrixVariant {
  readonly name: string;
  lower(): Lowering;
}

/**
 * Returns the variants of a product by matrices whose elements have this type. With `f16` the elements of a and b are rounded,
 * and sums are float32 all the same.
 */
export function matrixVariants(
  dims: MatmulDims,
  target: Target,
  { slices, element }: {
    readonly slices: number;
    readonly element: MatrixShape["element"];
  },
): MatrixVariant[] {
  const { matrices } = target;
  if (matrices === undefined) return [];
  const { subgroup } = matrices;
  const size = SUBGROUPS * SUBGROUPS * subgroup;
  const shapes = matrices.shapes.filter((shape) =>
    shape.element === element && DEPTH % shape.K === 0
  );
  return shapes.flatMap((shape) =>
    SIDES.flatMap((side) => {
      const { M, N, K } = shape;
      const tile = {
        rows: SUBGROUPS * side * M,
        columns: SUBGROUPS * side * N,
      };
      const bytes = (element === "f16" ? 2 : 4) * DEPTH *
          (tile.rows + tile.columns) + 4 * SUBGROUPS * M * tile.columns;
      if (size > target.invocations || bytes > target.workgroupStorage) {
        return [];
      }
      return [{
        name:
          `${tile.rows}x${tile.columns} in ${slices}, ${element} matrices of ${M}x${N}x${K}`,
        lower: () =>
          inSlices(dims, slices, target, (dims, parameters) => {
            const shared = { dims, tile, slices };
            const texts = byMatrices(shared, { ...shape, side, size });
            return tileShare(shared, texts, parameters, target);
          }),
      }];
    })
  );
}

/** The matrices of a tile. */
interface Matrices extends MatrixShape {
  /** Matrices along each side of a subgroup's part. */
  readonly side: number;
  /** Invocations of a workgroup. */
  readonly size: number;
}

/** Returns the texts of sums in matrices. A workgroup may have more subgroups than the tile has parts, if they can be smaller. */
function byMatrices(shared: Shared, matrices: Matrices): TileTexts {
  const { dims: { count }, tile: { rows, columns } } = shared;
  const { M, N, K, element, side, size } = matrices;
  const all = (line: (i: number, j: number) => string) =>
    repeat(side, (i) => repeat(side, (j) => line(i, j)));
  const load = (name: "a" | "b", i: number, k: number) => {
    const { rows, extent } = layoutOf(name, shared);
    const first = name === "a" ? `down + ${i * M}u` : `right + ${i * N}u`;
    const [side, order] = name === "a"
      ? [`left<${element}, ${K}, ${M}>`, rows === "K" ? "col" : "row"]
      : [`right<${element}, ${N}, ${K}>`, rows === "K" ? "row" : "col"];
    const [at, stride] = rows === "K"
      ? [`${k * extent}u + ${first}`, extent]
      : [`(${first}) * ${DEPTH}u + ${k}u`, DEPTH];
    return `let ${name}${i} = subgroupMatrixLoad<subgroup_matrix_${side}, ${order}_major>(&${name}Tile, ${at}, ${stride}u);`;
  };
  const multiply = repeat(DEPTH / K, (step) =>
    `{
  ${indent(repeat(side, (i) => load("a", i, step * K)), 2)}
  ${indent(repeat(side, (j) => load("b", j, step * K)), 2)}
  ${
      indent(
        all((i, j) =>
          `s${i}_${j} = subgroupMatrixMultiplyAccumulate(a${i}, b${j}, s${i}_${j});`
        ),
        2,
      )
    }
}`);
  return {
    size,
    features: [
      ...["subgroups", MATRICES] as const,
      ...element === "f16" ? ["shader-f16" as const] : [],
    ],
    declarations: `
// ${DEPTH} numbers along K of the tile's rows of a and of its columns of b, in rows as a and b have them.
var<workgroup> aTile: array<${element}, ${DEPTH * rows}>;
var<workgroup> bTile: array<${element}, ${DEPTH * columns}>;
// A row of matrices of each subgroup's sums, on their way to y.
var<workgroup> sums: array<f32, ${SUBGROUPS * M * columns}>;`,
    sums: `
// This subgroup's part of the tile are ${side} by ${side} matrices.
let down = place.subgroup / ${SUBGROUPS}u * ${side * M}u;
let right = place.subgroup % ${SUBGROUPS}u * ${side * N}u;
${all((i, j) => `var s${i}_${j}: subgroup_matrix_result<f32, ${N}, ${M}>;`)}`,
    fill: [fill("a", shared, matrices), fill("b", shared, matrices)].join("\n"),
    multiply: ofParts(multiply),
    write: repeat(
      side,
      (i) =>
        `${
          ofParts(repeat(side, (j) =>
            `subgroupMatrixStore<row_major>(&sums, place.subgroup / ${SUBGROUPS}u * ${
              M * columns
            }u + right + ${j * N}u, s${i}_${j}, ${columns}u);`))
        }
workgroupBarrier();
for (var i = local; i < ${SUBGROUPS * M * columns / 4}u; i += ${size}u) {
  let r = i / ${columns / 4}u;
  let c = i % ${columns / 4}u * 4u;
  let below = r / ${M}u * ${side * M}u + ${i * M}u + r % ${M}u;
  store(slice * ${count}u + matrix, m + below, n + c, vec4f(sums[4u * i], sums[4u * i + 1u], sums[4u * i + 2u], sums[4u * i + 3u]));
}
workgroupBarrier();`,
    ),
  };
}

/** Returns statements for the subgroups that have a part of the tile. All invocations of a subgroup do the same, which the compiler cannot see. */
function ofParts(body: string): string {
  return `@diagnostic(off, chromium.subgroup_matrix_uniformity)
if (place.subgroup < ${SUBGROUPS * SUBGROUPS}u) {
  ${indent(body, 2)}
}`;
}

/** Returns the loop that copies the tile of a or b into workgroup memory. */
function fill(
  name: "a" | "b",
  shared: Shared,
  { element, size }: Matrices,
): string {
  const { rows, extent, start } = layoutOf(name, shared);
  const isByK = rows === "K";
  const width = (isByK ? extent : DEPTH) / 4;
  const from = isByK
    ? `k0 + i / ${width}u, ${start} + i % ${width}u * 4u`
    : `${start} + i / ${width}u, k0 + i % ${width}u * 4u`;
  return `for (var i = local; i < ${DEPTH * extent / 4}u; i += ${size}u) {
  let four = load${name.toUpperCase()}(matrix, ${from});
  ${
    indent(
      repeat(4, (j) => `${name}Tile[4u * i + ${j}u] = ${element}(four[${j}]);`),
      2,
    )
  }
}`;
}
