/** Muon on a backend: that what it calls orthogonal is so, and that it trains. */

import { assert, assertAlmostEquals, assertLess } from "@std/assert";
import type { Executor } from "../../lib/backends/backend.ts";
import { compile } from "../../lib/graph/compile.ts";
import { layoutParameters } from "../../lib/graph/layout.ts";
import { Graph } from "../../lib/graph/tensor.ts";
import { Model } from "../../lib/model/model.ts";
import { orthogonalize } from "../../lib/train/muon.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { normals } from "../../lib/checks/conformance_operands.ts";
import {
  blend,
  isPositiveDefinite,
  matrixOf,
  orthogonal,
  product,
  transpose,
} from "../fixtures/matrices.ts";
import { type Bench, benchTest } from "./model_bench.ts";
import { dataset, lossesOf, training } from "./model_training.ts";
import { variant } from "../../lib/checks/variants.ts";

/** Square, wide and tall, one row, and more than one tile. */
const shapes = [[5, 5], [3, 12], [12, 3], [1, 7], [40, 96], [96, 40]] as const;

/** Matrices of a batch. */
const COUNT = 3;

/** Registers the tests on a backend. */
export function registerMuon(bench: Bench): void {
  benchTest(
    bench,
    "Muon makes each matrix nearly orthogonal, as its definition does",
    async (backend, test) => {
      // Rounding errors of some units of 2^-24 grow with what the iteration magnifies most:
      // singular values near 0, by 3.4445 five times over, 485 in all.
      const tolerance = backend.kind === "reference"
        ? 1e-9
        : 485 * 16 * 2 ** -24;
      for (const [rows, columns] of shapes) {
        await test.step(`${rows} by ${columns}`, async () => {
          const length = rows * columns;
          // Matrices of different sizes, each of which has a norm of its own.
          const values = normals("matrix", COUNT * length).map((x, i) =>
            Math.fround(10 ** Math.floor(i / length) * x)
          );
          const result = await orthogonalized(backend, {
            ...{ rows, columns, values },
          });
          for (let matrix = 0; matrix < COUNT; matrix++) {
            const own = (all: Float64Array) =>
              matrixOf(
                all.slice(matrix * length, (matrix + 1) * length),
                columns,
              );
            const x = own(result);
            const expected = orthogonal(own(values));
            x.forEach((row, i) =>
              row.forEach((value, j) =>
                assertAlmostEquals(value, expected[i]![j]!, tolerance)
              )
            );
            // Singular values, squared, are the eigenvalues of the Gram matrix. Five iterations
            // bring them to between 0.68 and 1.13 (Jordan 2024); these limits leave some room.
            const short = rows <= columns ? x : transpose(x);
            const gram = product(short, transpose(short));
            const one = gram.map((row, i) =>
              row.map((_, j) => i === j ? 1 : 0)
            );
            const above = blend(1, gram, -(0.6 ** 2), one);
            const below = blend(1.3 ** 2, one, -1, gram);
            assert(isPositiveDefinite(above), "< 0.6");
            assert(isPositiveDefinite(below), "> 1.3");
          }
        });
      }
    },
  );

  benchTest(
    bench,
    "training with Muon lowers the loss",
    async (backend) => {
      const { config } = variant("all at once");
      await using model = await Model.create(config, { backend, seed: 1 });
      const options = training({ optimizer: "muon" });
      const losses = await lossesOf(new Trainer(model, dataset(), options));
      const mean = (losses: readonly number[]) =>
        losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
      assertLess(mean(losses.slice(40)), mean(losses.slice(0, 5)));
    },
  );
}

async function orthogonalized(
  backend: Executor,
  { rows, columns, values }: {
    rows: number;
    columns: number;
    values: Float64Array;
  },
): Promise<Float64Array> {
  const graph = new Graph();
  const matrices = graph.input("matrices", [COUNT, rows, columns], "f32");
  const { result, dispatches } = orthogonalize(graph, matrices);
  const plan = compile({
    name: "test",
    phases: { test: dispatches.map((each) => ({ ...each, label: "test" })) },
    layout: layoutParameters(graph),
    outputs: { result },
  });
  const program = await backend.compile(plan, new Map());
  try {
    program.buffer("matrices").write(values);
    program.run();
    return Float64Array.from(await program.buffer("result").read());
  } finally {
    program.destroy();
  }
}
