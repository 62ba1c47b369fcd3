/** The signatures of the kernels, read with dims. */

import { assert, assertEquals } from "@std/assert";
import {
  operandShapes,
  plainProduct,
  signatures,
} from "../../kernels/vocabulary.ts";
import { conformanceCases } from "../../lib/checks/conformance_cases.ts";

/** The operands as text, to be compared at a glance. */
function written({ outputs, inputs }: ReturnType<typeof operandShapes>) {
  return [outputs, inputs].map((side) =>
    side.map(({ name, dtype, length }) => `${name} ${dtype}[${length}]`)
      .join(", ")
  ).join(" <- ");
}

Deno.test("operandShapes multiplies out each shape", () => {
  const heads = { B: 2, T: 5, NH: 6, NKV: 3, HS: 4 };
  assertEquals(
    written(operandShapes("cacheAppend", { ...heads, L: 7 })),
    "cache f32[336] <- qkv f32[480], start i32[2], count i32[2]",
  );
  assertEquals(
    written(
      operandShapes("clip", { parts: 3, maxNorm: 1, slots: 5 }),
    ),
    "clip f32[2], metrics f32[20], loss f32[1] <- partial f32[3], key i32[4]",
  );
});

Deno.test("operandShapes leaves out an operand whose dim is false or 0", () => {
  const product = {
    ...plainProduct,
    ...{ form: "nt", M: 2, N: 3, K: 4 } as const,
  };
  const shapes = [[false, false], [true, false], [false, true], [true, true]]
    .map(([bias, residual]) =>
      operandShapes("matmul", {
        ...product,
        bias: bias!,
        residual: residual!,
      }).inputs.slice(2).map(({ name, length }) => `${name}[${length}]`)
    );
  assertEquals(shapes, [
    [],
    ["bias[3]"],
    ["residual[6]"],
    ["bias[3]", "residual[6]"],
  ]);
  const heads = { B: 1, T: 2, NH: 1, NKV: 1, HS: 4, site: 0, scale: 1 };
  const rest = { mask: "causal", maskValue: 0, slopes: [] } as const;
  const inputs = [0, 0.1].map((dropout) =>
    operandShapes("attention", { ...heads, ...rest, dropout }).inputs.length
  );
  assertEquals(inputs, [1, 2]);
});

Deno.test("Every signature names each operand once and has only sizes among its kernel's dims", () => {
  const seen = new Set<string>();
  for (const { kernel, dims } of conformanceCases) {
    const { outputs, inputs } = operandShapes(kernel, dims as never);
    const operands = [...outputs, ...inputs];
    for (const { name, length } of operands) {
      assert(Number.isInteger(length) && length > 0, `${kernel}.${name}`);
    }
    const names = new Set(operands.map(({ name }) => name));
    assertEquals(names.size, operands.length, kernel);
    seen.add(kernel);
  }
  assertEquals([...seen].sort(), Object.keys(signatures).sort());
});
