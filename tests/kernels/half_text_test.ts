/** WGSL texts whose operands are float16: where they are read and written. */

import { assertEquals, assertThrows } from "@std/assert";
import { withHalves } from "../../kernels/wgsl/half.ts";
import { leastTarget } from "../../kernels/wgsl/kernel.ts";
import { input, invocations, output } from "../../kernels/wgsl/pass.ts";

const target = {
  ...leastTarget,
  tiling: "register",
  features: ["shader-f16"],
} as const;

/** Returns the body of a pass on y, x and qx, after y and x became float16. */
function retyped(
  body: string,
  { element = "f32", declarations = "" } = {},
): { readonly head: readonly string[]; readonly body: string } {
  const pass = invocations({
    ...{ target, declarations, body, count: 64 },
    parameters: [output("y", element), input("x", element), input("qx")],
  });
  const lowering = { passes: [pass], scratch: { sum: 3 } };
  const halved = withHalves(lowering, ["y", "x"], target);
  assertEquals(halved.scratch, lowering.scratch);
  const { code, bindings, workgroups } = halved.passes[0]!;
  assertEquals({ bindings, workgroups }, {
    bindings: pass.bindings,
    workgroups: pass.workgroups,
  });
  return {
    head: code.split("\n").slice(0, 4),
    body: /local;\n {2}([^]*)\n}\n$/.exec(code)![1]!,
  };
}

Deno.test("Reads of a float16 operand are widened and writes narrowed", () => {
  const cases = [
    ["let a = x[i];", "let a = f32(x[i]);"],
    ["let a = qx[u32(x[i + b[2]])];", "let a = qx[u32(f32(x[i + b[2]]))];"],
    ["y[i] = 1.0f;", "y[i] = f16(1.0f);"],
    ["y[i] += x[i];", "y[i] = f16(f32(y[i]) + f32(x[i]));"],
    ["y[i] = y[i] * x[2u * i];", "y[i] = f16(f32(y[i]) * f32(x[2u * i]));"],
    [
      "if (x[i] == 0.0f) { y[i] = 0.0f; y[i + 1u] = x[i]; }",
      "if (f32(x[i]) == 0.0f) { y[i] = f16(0.0f); y[i + 1u] = f16(f32(x[i])); }",
    ],
    ["let n = arrayLength(&x);", "let n = arrayLength(&x);"],
    ["qx[i] = 1.0f;", "qx[i] = 1.0f;"],
  ];
  for (const [body, expected] of cases) {
    assertEquals(retyped(body!).body, expected);
  }
  assertEquals(retyped("let a = 0u;").head, [
    "enable f16;",
    "@group(0) @binding(0) var<storage, read_write> y: array<f16>;",
    "@group(0) @binding(1) var<storage, read> x: array<f16>;",
    "@group(0) @binding(2) var<storage, read> qx: array<f32>;",
  ]);
});

Deno.test("Vectors of float16 have the lanes of the text's own", () => {
  assertEquals(
    retyped("y[i] = x[i];", { element: "vec4f" }).body,
    "y[i] = vec4h(vec4f(x[i]));",
  );
  const aliased = { element: "F", declarations: "alias F = vec4f;" };
  assertEquals(
    retyped("y[i] = x[i];", aliased).body,
    "y[i] = vec4h(vec4f(x[i]));",
  );
});

Deno.test("A pass without a float16 operand keeps its text, and needs no float16", () => {
  const parameters = [output("y")];
  const plain = { ...target, features: [] };
  const pass = invocations({
    ...{ target, parameters, count: 64, body: "y[i] = 0.0f;" },
  });
  const lowering = { passes: [pass], scratch: {} };
  assertEquals(withHalves(lowering, ["x"], plain), lowering);
  assertThrows(
    () => withHalves(lowering, ["y"], plain),
    RangeError,
    "Cannot write a pass with shader-f16: the adapter lacks it",
  );
});
