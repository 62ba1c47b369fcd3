/** Products with weights so large that the CPU engine keeps no packed copy of them. */

import { assertLess } from "@std/assert";
import { openWasm } from "../../lib/backends/wasm/engine.ts";
import { checkCase, describe } from "../../lib/checks/conformance.ts";
import { each, vary } from "../../lib/checks/conformance_case.ts";
import { Model } from "../../lib/model/model.ts";
import { plainProduct } from "../../kernels/vocabulary.ts";

const nt = { ...plainProduct, form: "nt" } as const;

// 1031 rows of 517 numbers are 2.1 MB. One, a few and many rows; neither length is a multiple of a vector.
const cases = each("matmul", [
  ...vary([1, 3, 64, 65].map((M) => ({ M, N: 1031, K: 517 })), [
    { ...nt, bias: true },
    { ...nt, residual: true },
  ]),
  { ...nt, M: 2, N: 1031, K: 517, bias: true, activation: "geluTanh" },
  { ...nt, M: 1, N: 175_003, K: 3 },
  { ...nt, M: 2, N: 1, K: 524_301, accumulate: true },
]);

for (const build of ["relaxed", "strict"] as const) {
  Deno.test(`Products with large weights agree with float64 on wasm, ${build}`, async (context) => {
    await using backend = await openWasm({ build, threads: 2 });
    for (const test of cases) {
      await context.step(describe(test), async () => {
        await checkCase(backend, test);
      });
    }
  });
}

Deno.test("Text of a model with large weights takes little more memory than the weights", async () => {
  await using backend = await openWasm({ threads: 2 });
  const sizes = { vocabSize: 1000, blockSize: 300, nLayer: 3, nHead: 1 };
  await using model = await Model.create(
    { ...sizes, nEmbd: 768, nHidden: 768, tiedHead: true },
    { backend },
  );
  const weights = backend.memory.allocatedBytes;
  // Packed copies would take as much again. A short prompt is read from the weights where they are; for a long one, one
  // weight at a time is packed.
  for (const [length, most] of [[10, 0.2], [100, 0.6]] as const) {
    const prompt = Array.from({ length }, (_, i) => i);
    const tokens = model.generate(prompt, { maxNewTokens: 2 });
    await tokens.next();
    await tokens.next();
    const more = backend.memory.allocatedBytes - weights;
    assertLess(more / weights, most);
    await tokens.return();
  }
});
