/**
 * Measures the matrix products of one training step on this machine's WebGPU
 * adapter: every shape by every variant, and how near each comes to the adapter's
 * bare multiply-adds. Every result is checked against float64 first.
 *
 *     deno run -A bench/matmul.ts [--preset original] [--tiling register|workgroup] [--rounds 7]
 *
 * `*` marks the variant that the builder chooses; the total takes those, each as
 * often as a step runs it. "first" is how much longer the first run of a text took:
 * compiling, unless the driver has it in its cache (MESA_SHADER_CACHE_DISABLE=true
 * turns Mesa's off).
 */

import type { Target } from "../kernels/wgsl/kernel.ts";
import type { PresetName } from "../lib/config/presets.ts";
import { readFlags } from "../tools/flags.ts";
import { BareDevice } from "./gpu/bare.ts";
import { productsOf, timeVariants } from "./gpu/products.ts";
import { bareMultiplyAdds } from "./gpu/roofline.ts";

const { flags } = readFlags({
  ...{ preset: "original", rounds: "7", tiling: undefined },
});
const tiling = flags.tiling as Target["tiling"] | undefined;
using device = await BareDevice.open(tiling);
const timing = { longEnough: 60, rounds: Number(flags.rounds) };
const best = await bareMultiplyAdds(device, timing);
console.log(
  `${device.adapter.info.description}, ${device.target.tiling} tiles, preset ${flags.preset}; bare multiply-adds ${
    best.toFixed(0)
  } GFLOP/s`,
);
console.log(
  "product              each step  variant                          ms  GFLOP/s  of bare  first ms",
);
let total = { milliseconds: 0, operations: 0 };
for (const { dims, times } of productsOf(flags.preset as PresetName)) {
  for (const timed of await timeVariants(dims, device, timing)) {
    const { product, variant, chosen, ms, gflops, firstMs } = timed;
    console.log([
      product.padEnd(22),
      String(times).padStart(7),
      "",
      `${variant}${chosen ? " *" : ""}`.padEnd(28),
      ms.toFixed(3).padStart(8),
      gflops.toFixed(1).padStart(8),
      `${(100 * gflops / best).toFixed(0)} %`.padStart(8),
      firstMs.toFixed(0).padStart(9),
    ].join(" "));
    if (!chosen) continue;
    total = {
      milliseconds: total.milliseconds + times * ms,
      operations: total.operations + times * gflops * ms * 1e6,
    };
  }
}
console.log(
  `products of a step: ${total.milliseconds.toFixed(0)} ms, ${
    (total.operations / total.milliseconds / 1e6).toFixed(1)
  } GFLOP/s`,
);
