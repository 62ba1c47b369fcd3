/** Reductions of rows in subgroups: right wherever they can be used, and refused where they cannot. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ROWS } from "../../kernels/wgsl/kernel.ts";
import { norm } from "../../kernels/wgsl/norm.ts";
import { SUBGROUPS } from "../../kernels/wgsl/subgroups.ts";
import { reducesRows } from "../../bench/gpu/rows.ts";
import { openWebGpu } from "../../lib/backends/webgpu/engine.ts";
import { checkCase, describe, sizeOf } from "../../lib/checks/conformance.ts";
import { conformanceCases } from "../../lib/checks/conformance_cases.ts";
import { gpuTest, skipped, suffix } from "./adapter.ts";
import { replaceAdapters, withDevices } from "./fake_adapter.ts";

const any = { adapter: "any", tiling: "workgroup" } as const;

/** Opens the adapter with a table that chooses this variant of reductions. */
async function openWith(variant: string) {
  await using usual = await openWebGpu(any);
  return await openWebGpu({
    ...any,
    products: { [usual.name]: { [ROWS]: variant } },
  });
}

/** Returns a change of devices after which their compiler gets other texts. */
function withTexts(change: (code: string) => string) {
  return (device: GPUDevice) => {
    const create = device.createShaderModule.bind(device);
    device.createShaderModule = (descriptor) =>
      create({ ...descriptor, code: change(descriptor.code) });
  };
}

const dims = {
  kind: "layernorm",
  ...{ rows: 2, C: 300, eps: 1e-5, bias: true },
} as const;

const reducing = Map.groupBy(
  conformanceCases.filter((test) => sizeOf(test) < 1 << 20)
    .filter(reducesRows),
  ({ kernel }) => kernel,
);
for (const [kernel, cases] of reducing) {
  Deno.test({
    name:
      `${kernel} in subgroups agrees with the float64 reference on WebGPU${suffix}`,
    ignore: skipped,
    fn: async (context) => {
      await using backend = await openWith(SUBGROUPS);
      for (const test of cases) {
        await context.step(describe(test), async () => {
          await checkCase(backend, test);
        });
      }
    },
  });
}

Deno.test("All kernels that reduce rows can do it in subgroups", () => {
  assertEquals([...reducing.keys()].sort(), [
    ...["choose", "clip", "crossEntropy", "lossSum", "norm", "normBackward"],
    ...["qkNorm", "qkNormBackward", "squareSum"],
  ]);
});

gpuTest("A table chooses subgroups for reductions of rows", async () => {
  await using usual = await openWebGpu(any);
  await using chosen = await openWith(SUBGROUPS);
  const code = ({ target }: typeof usual) => norm(dims, target).passes[0]!.code;
  assert(code(chosen).includes("subgroupAdd("));
  assert(!code(usual).includes("subgroup"));
});

gpuTest(
  "Reductions in subgroups are written for a compiler that wants the directive, and for one that refuses it",
  async () => {
    const directive = "enable subgroups;\n";
    const wanting = withTexts((code) => {
      if (!code.includes("subgroupAdd(")) return code;
      // Deno's own compiler knows the operations without.
      return code.startsWith(directive) ? code.replace(directive, "") : "?";
    });
    const target = await withDevices(
      wanting,
      async () => {
        await using backend = await openWith(SUBGROUPS);
        return backend.target;
      },
    );
    assert(norm(dims, target).passes[0]!.code.startsWith(directive));
    const refusing = withTexts((code) => code.replace(directive, "?"));
    const other = await withDevices(refusing, async () => {
      await using backend = await openWith(SUBGROUPS);
      return backend.target;
    });
    assert(!norm(dims, other).passes[0]!.code.includes("enable"));
  },
);

gpuTest(
  "Subgroups that compile nowhere, or compute wrong sums or maxima, are refused",
  async () => {
    const cases: [change: (code: string) => string, message: RegExp][] = [
      [
        (code) => code.replace("subgroupAdd(", "("),
        /^Cannot reduce rows in subgroups: sum and largest of 5 numbers are -?\d+ and \d+ and should be /,
      ],
      [
        (code) => code.replace("subgroupMax(", "("),
        /^Cannot reduce rows in subgroups: sum and largest of \d+ numbers are /,
      ],
      [
        // As if a workgroup had a single subgroup.
        (code) => code.replace("i < place.subgroups", "i < 1u"),
        /^Cannot reduce rows in subgroups: sum and largest of \d+ numbers are /,
      ],
      [
        (code) => code.replace("subgroupAdd(", "subgroupNone("),
        /^Cannot reduce rows in subgroups: [^]*subgroupNone/,
      ],
    ];
    for (const [change, message] of cases) {
      await withDevices(withTexts(change), async () => {
        const error = await assertRejects(
          () => openWith(SUBGROUPS),
          RangeError,
        );
        assert(message.test(error.message), error.message);
      });
    }
  },
);

gpuTest("Subgroups are refused where the adapter has none", async () => {
  replaceAdapters((adapter) => {
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = (descriptor) =>
      [...descriptor?.requiredFeatures ?? []].includes("subgroups")
        ? Promise.reject(new TypeError("no such feature"))
        : requestDevice(descriptor);
  });
  try {
    await assertRejects(
      () => openWith(SUBGROUPS),
      RangeError,
      "Cannot reduce rows in subgroups: this adapter has none",
    );
  } finally {
    Reflect.deleteProperty(navigator, "gpu");
  }
});

gpuTest("A variant of reductions that there is not is refused", async () => {
  const error = await assertRejects(() => openWith("trees"), RangeError);
  assertEquals(
    error.message,
    'Cannot reduce rows: there is no variant "trees"',
  );
});
