/**
 * The variants of a product on hardware adapters. The first is the one that the builder's own
 * rules choose for the product's shape; a measurement on one adapter may name another.
 */

import type { Lowering, Target } from "./kernel.ts";
import type { MatmulDims } from "./matmul_product.ts";
import { matrixVariants } from "./matmul_matrix.ts";
import { fewRowsMatmul, suitsFewRows } from "./matmul_rows.ts";
import { fewestSlices } from "./matmul_slices.ts";
import {
  fits,
  LARGE_TILE,
  mostSlices,
  type Partition,
  partition,
  TILES,
  workgroupMatmul,
} from "./matmul_workgroup.ts";
import { single } from "./pass.ts";

/** A way to compute a product. */
export interface ProductVariant {
  /** The name, unique among the variants of a product, e.g. `64x64 in 8, unrolled 4`. */
  readonly name: string;
  /** Returns the passes. */
  lower(): Lowering;
}

/** Numbers of steps along K that a loop's turn may have. */
const UNROLLS = [1, 4, 16] as const;

/** Returns the name of a product's shape, which a measurement's choice is kept under. */
export function productName({ form, count, M, N, K }: MatmulDims): string {
  return `${form} ${count === 1 ? "" : `${count} `}${M}x${N}x${K}`;
}

/** Returns the variants of a product, the default first: its tile and slices with other loops, other tiles and slices, and matrices of float32 where the adapter has them. */
export function productVariants(
  dims: MatmulDims,
  target: Target,
): readonly ProductVariant[] {
  const chosen = partition(dims);
  const [fewest, most] = [fewestSlices(dims.K), mostSlices(dims)];
  const cuts = [chosen.slices, fewest, 4 * chosen.slices]
    .filter((slices) => slices === chosen.slices || slices <= most);
  const partitions = [
    ...UNROLLS.map((unroll) => ({ ...chosen, unroll })),
    ...[...TILES, LARGE_TILE].filter((tile) => fits(tile, target))
      .flatMap((tile) => cuts.map((slices) => ({ ...chosen, tile, slices }))),
  ];
  const named = new Map(
    [chosen, ...partitions].map((parts) => [nameOf(parts), parts]),
  );
  const { slices } = chosen;
  const tiled = [
    ...Array.from(named, ([name, parts]) => ({
      name,
      lower: () => workgroupMatmul(dims, target, parts),
    })),
    ...matrixVariants(dims, target, { slices, element: "f32" }),
  ];
  return suitsFewRows(dims)
    ? [
      { name: "few rows", lower: () => single(fewRowsMatmul(dims, target)) },
      ...tiled,
    ]
    : tiled;
}

function nameOf({ tile, slices, unroll }: Partition): string {
  return `${tile.rows}x${tile.columns} in ${slices}, unrolled ${unroll}`;
}
