/** The variants of matrix products for hardware: each is right, and a table chooses among them. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { leastTarget, MATRICES } from "../../kernels/wgsl/kernel.ts";
import { matmul } from "../../kernels/wgsl/matmul.ts";
import {
  productName,
  productVariants,
} from "../../kernels/wgsl/matmul_variants.ts";
import { type KernelDims, plainProduct } from "../../kernels/vocabulary.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { checkCase } from "../../lib/checks/conformance.ts";
import type { Case } from "../../lib/checks/conformance_case.ts";
import {
  readProductTables,
  writeProductTables,
} from "../../lib/cli/run/product_file.ts";
import { gpuTest } from "./adapter.ts";
import { replaceAdapters } from "./fake_adapter.ts";

type Dims = KernelDims["matmul"];

/** Every form, with sizes that divide into no tile; the conformance suite has the other parts of a product. */
const products: readonly Dims[] = ([
  { form: "nt", M: 130, N: 72, K: 40, bias: true, residual: true },
  { form: "nt", M: 3, N: 50, K: 36, bias: true },
  { form: "nn", M: 65, N: 129, K: 33, accumulate: true },
  { form: "tn", M: 70, N: 36, K: 1100, accumulate: true, sums: true },
] as const).map((dims) => ({ ...plainProduct, ...dims }));

const tiling = { adapter: "any", tiling: "workgroup" } as const;

gpuTest("Every variant of a product is right", async () => {
  const { target, name } = await targetOfAdapter();
  const variants = products.map((dims) => productVariants(dims, target));
  const most = Math.max(...variants.map(({ length }) => length));
  const tried = new Set<string>();
  for (let i = 0; i < most; i++) {
    const table: Record<string, string> = {};
    products.forEach((dims, product) => {
      const variant = variants[product]![i];
      if (variant) table[productName(dims)] = variant.name;
    });
    await using backend = await openWebGpu({
      ...tiling,
      products: { [name]: table },
    });
    for (const dims of products) {
      const variant = table[productName(dims)];
      if (variant === undefined) continue;
      tried.add(variant.replace(/ in \d+/, ""));
      await checkCase(backend, { kernel: "matmul", dims } as Case);
    }
  }
  for (const tile of ["128x128", "128x64", "64x64", "32x32"]) {
    assert(tried.has(`${tile}, unrolled 4`), tile);
  }
  assert(tried.has("few rows"));
  assert(tried.has("32x32, unrolled 16"));
});

Deno.test("Sums over rows are tried in one slice and in four times as many slices", () => {
  const dims = {
    ...plainProduct,
    form: "tn",
    M: 512,
    N: 512,
    K: 4096,
  } as const;
  const target = { ...leastTarget, tiling: "workgroup" } as const;
  assertEquals(productVariants(dims, target).map(({ name }) => name), [
    ...["128x64 in 4, unrolled 4", "128x64 in 4, unrolled 1"],
    ...["128x64 in 4, unrolled 16", "128x64 in 1, unrolled 4"],
    "128x64 in 16, unrolled 4",
    ...["64x64", "32x32"].flatMap((tile) =>
      [4, 1, 16].map((slices) => `${tile} in ${slices}, unrolled 4`)
    ),
  ]);
});

gpuTest(
  "A table chooses the variant of its product on its adapter, and no other",
  async () => {
    const { target, name } = await targetOfAdapter();
    const dims = products[1]!;
    const other = productVariants(dims, target).at(-1)!;
    const table = { [productName(dims)]: other.name };
    const codeOf = (target: Parameters<typeof matmul>[1], dims: Dims) =>
      matmul(dims, target).passes[0]!.code;
    const open = async (products: Record<string, Record<string, string>>) => {
      await using backend = await openWebGpu({ ...tiling, products });
      return backend.target;
    };
    const chosen = await open({ [name]: table });
    assertEquals(codeOf(chosen, dims), other.lower().passes[0]!.code);
    assert(codeOf(chosen, dims) !== codeOf(target, dims));
    assertEquals(codeOf(chosen, products[2]!), codeOf(target, products[2]!));
    const elsewhere = await open({ "another GPU": table });
    assertEquals(codeOf(elsewhere, dims), codeOf(target, dims));
  },
);

gpuTest(
  "A variant that there is not is refused by product and name",
  async () => {
    const { target, name } = await targetOfAdapter();
    const dims = products[1]!;
    const table = { [productName(dims)]: "7x7" };
    const message =
      'Cannot compute product nt 3x50x36: it has no variant "7x7"';
    assertThrows(
      () => matmul(dims, { ...target, products: table }),
      RangeError,
      message,
    );
    await using backend = await openWebGpu({
      ...tiling,
      products: { [name]: table },
    });
    await assertRejects(
      () => checkCase(backend, { kernel: "matmul", dims } as Case),
      RangeError,
      message,
    );
  },
);

gpuTest(
  "Matrices, an experiment, are requested only by a table that chooses them",
  async () => {
    const { name } = await targetOfAdapter();
    const asked: boolean[] = [];
    replaceAdapters((adapter) => {
      const names = new Set<string>([...adapter.features, MATRICES]);
      Object.defineProperty(adapter, "features", { value: names });
      const requestDevice = adapter.requestDevice.bind(adapter);
      adapter.requestDevice = (descriptor) => {
        const features = new Set<string>(descriptor!.requiredFeatures);
        asked.push(features.delete(MATRICES));
        const requiredFeatures = [...features] as GPUFeatureName[];
        return requestDevice({ ...descriptor, requiredFeatures });
      };
    });
    try {
      for (
        const variant of ["few rows", "32x32 in 1, f32 matrices of 8x8x8"]
      ) {
        await using _backend = await openWebGpu({
          ...tiling,
          products: { [name]: { "nt 3x50x36": variant } },
        });
      }
    } finally {
      Reflect.deleteProperty(navigator, "gpu");
    }
    assertEquals(asked, [false, true]);
  },
);

Deno.test("A file of tables is read again, and one of another version or form is not", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const path = join(directory, "cache", "products.json");
    assertEquals(readProductTables(path), undefined);
    const tables = { gpu: { "nn 1x2x3": "few rows" } };
    await writeProductTables(path, tables);
    assertEquals(readProductTables(path), tables);
    const text = await Deno.readTextFile(path);
    const spoilt = [
      ["lm ", "lm 0.0.0 of another, "],
      ['"few rows"', "3"],
      ["{", "["],
      [text, ""],
    ] as const;
    for (const [from, to] of spoilt) {
      await Deno.writeTextFile(path, text.replace(from, to));
      assertEquals(readProductTables(path), undefined, to);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

async function targetOfAdapter() {
  await using backend = await openWebGpu(tiling);
  const { target, name } = backend;
  return { target, name };
}
