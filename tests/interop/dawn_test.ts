/**
 * Products by matrix units in Dawn, Chromium's implementation of WebGPU, which alone has them: its compiler takes their texts
 * everywhere, and they are right where an adapter has such matrices (from Mesa 26 on the software adapter llvmpipe).
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { type KernelDims, plainProduct } from "../../kernels/vocabulary.ts";
import {
  extensions,
  leastTarget,
  type Lowering,
  type MatrixShape,
  type Target,
} from "../../kernels/wgsl/kernel.ts";
import { matrixVariants } from "../../kernels/wgsl/matmul_matrix.ts";
import { productVariants } from "../../kernels/wgsl/matmul_variants.ts";
import { operandsOf, run } from "../../lib/checks/conformance_operands.ts";
import type { Case } from "../../lib/checks/conformance_case.ts";
import { interopTest, runScript } from "./programs.ts";

type Dims = KernelDims["matmul"];

/** Every form, with sizes that divide into no tile, and every part of a product. */
const products: readonly Dims[] = ([
  { form: "nt", M: 130, N: 72, K: 40, bias: true, residual: true },
  { form: "nt", M: 3, N: 50, K: 36, bias: true, activation: "relu2" },
  { form: "nn", M: 65, N: 129, K: 33, count: 2, accumulate: true },
  { form: "tn", M: 70, N: 36, K: 600, accumulate: true, sums: true },
] as const).map((dims) => ({ ...plainProduct, ...dims }));

function targetOf(matrices: NonNullable<Target["matrices"]>): Target {
  return {
    ...leastTarget,
    tiling: "workgroup",
    workgroupStorage: 2 ** 15,
    features: Object.keys(extensions) as (keyof typeof extensions)[],
    matrices,
  };
}

/** A run of a product. */
interface Job extends Lowering {
  readonly operands: Readonly<Record<string, readonly number[]>>;
}

interface Answer {
  readonly shapes: readonly (MatrixShape & { readonly sums: string })[];
  readonly subgroup: number;
  readonly results: readonly {
    readonly messages: readonly string[];
    readonly operands?: Readonly<Record<string, readonly number[]>>;
  }[];
}

async function inDawn(
  backend: "null" | "vulkan",
  jobs: readonly Job[],
): Promise<Answer | null> {
  return await runScript("dawn.mjs", { input: { backend, jobs } }) as
    | Answer
    | null;
}

/** Shapes of GPUs: Apple's, NVIDIA's, AMD's and Intel's. */
const shapes: readonly MatrixShape[] = [
  { M: 8, N: 8, K: 8, element: "f32" },
  { M: 8, N: 8, K: 8, element: "f16" },
  { M: 16, N: 8, K: 16, element: "f16" },
  { M: 16, N: 16, K: 16, element: "f16" },
  { M: 8, N: 16, K: 16, element: "f16" },
];

interopTest(
  "Dawn's compiler has nothing to say about products by matrices of any GPU",
  async () => {
    const target = targetOf({ shapes, subgroup: 32 });
    const jobs = products.flatMap((dims) =>
      (["f32", "f16"] as const).flatMap((element) =>
        matrixVariants(dims, target, { slices: 2, element })
          .map(({ lower }): Job => ({ ...lower(), operands: {} }))
      )
    );
    assertGreater(jobs.length, 30);
    const answer = await inDawn("null", jobs);
    for (const { messages } of answer!.results) assertEquals(messages, []);
  },
);

Deno.test("Products have variants by matrices of float32 where the adapter has them, and by those of float16 never", () => {
  const dims = products[0]!;
  const names = (shapes: readonly MatrixShape[]) =>
    productVariants(dims, targetOf({ shapes, subgroup: 32 }))
      .map(({ name }) => name).filter((name) => name.includes("matrices"));
  assertEquals(names(shapes), [
    "32x32 in 1, f32 matrices of 8x8x8",
    "64x64 in 1, f32 matrices of 8x8x8",
  ]);
  assertEquals(names(shapes.filter(({ element }) => element === "f16")), []);
  // Four subgroups of 128 are more invocations than a workgroup may have.
  const wide = targetOf({ shapes, subgroup: 128 });
  assertEquals(
    matrixVariants(dims, wide, { slices: 1, element: "f32" }),
    [],
  );
});

const found = await inDawn("vulkan", []).catch(() => null);
const usable =
  found?.shapes.filter(({ sums, element }) =>
    sums === "f32" && (element === "f16" || element === "f32")
  ) ?? [];
Deno.test({
  name: `Products by matrices agree with the float64 reference in Dawn${
    usable.length > 0 ? "" : " (skipped: its adapter has no matrices)"
  }`,
  ignore: usable.length === 0,
  fn: async () => {
    const target = targetOf({ shapes: usable, subgroup: found!.subgroup });
    // Whole tiles, and the smaller of the two: llvmpipe takes many minutes to compile the others.
    const whole = (["nt", "nn", "tn"] as const).map((form): Dims => ({
      ...{ ...plainProduct, form, M: 64, N: 64, K: 64, accumulate: true },
    }));
    const cases = whole.flatMap((dims) =>
      (dims.form === "tn" ? [1, 3] : [1]).flatMap((slices) =>
        (["f32", "f16"] as const).flatMap((element) =>
          matrixVariants(dims, target, { slices, element }).slice(0, 1)
            .map(({ name, lower }) => ({ dims, element, name, lower }))
        )
      )
    );
    assertGreater(cases.length, 0);
    const jobs = cases.map(({ dims, element, lower }) => {
      const { outputs, inputs } = operandsOf(
        { kernel: "matmul", dims } as Case,
      );
      const factors = inputs.filter(({ name }) => "ab".includes(name));
      if (element === "f16") {
        for (const { data } of factors) data.set(data.map(Math.f16round));
      }
      const operands = Object.fromEntries(
        [...outputs, ...inputs].map(({ name, data }) => [name, [...data]]),
      );
      const expected = outputs.map(({ data }) => data.slice());
      run("matmul", expected, inputs.map(({ data }) => data), dims);
      return { ...lower(), operands, outputs, expected };
    });
    const answer = await inDawn("vulkan", jobs);
    answer!.results.forEach(({ messages, operands }, i) => {
      const { outputs, expected } = jobs[i]!;
      const { dims, name } = cases[i]!;
      assertEquals(messages, []);
      outputs.forEach((output, o) => {
        const actual = operands![output.name]!;
        const worst = Math.max(
          ...actual.map((x, at) => Math.abs(x - expected[o]![at]!)),
        );
        // Sums of K products of order 1, each sum rounded, in any order; squared by the activation.
        const most = (dims.activation ? 16 : 1) * dims.K * 2 ** -22;
        assert(worst <= most, `${name}, ${output.name}: off by ${worst}`);
      });
    });
  },
});
