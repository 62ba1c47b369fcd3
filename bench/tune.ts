/**
 * Measures the variants of the matrix products of presets, in training and in writing
 * text, and of the reductions of rows, on this machine's GPU. Keeps the fastest of each in the cache, where every command
 * of `lm` finds them:
 *
 *     deno run -A bench/tune.ts [--preset original,nano-gpu] [--out FILE] [--any]
 *
 * A variant is timed only after its result was compared with float64, and kept only if it is
 * faster than the default by a twentieth. Another variant may add up a product in another order:
 * runs begun before go on with results that differ by rounding. `--any` also measures a software
 * adapter, with the kernels for hardware. Deleting the file brings the defaults back.
 */

import { ROWS } from "../kernels/wgsl/kernel.ts";
import { SUBGROUPS } from "../kernels/wgsl/subgroups.ts";
import type { ProductTables } from "../lib/backends/backend.ts";
import { openWebGpu } from "../lib/backends/webgpu/engine.ts";
import {
  productFile,
  readProductTables,
  writeProductTables,
} from "../lib/cli/run/product_file.ts";
import { type PresetName, presets } from "../lib/config/presets.ts";
import { readFlags, refuseArguments } from "../tools/flags.ts";
import { BareDevice, isSoftware } from "./gpu/bare.ts";
import {
  decodingProductsOf,
  productsOf,
  type TimedVariant,
  timeVariants,
} from "./gpu/products.ts";
import { timeRows } from "./gpu/rows.ts";

/** Largest time of a variant, as a share of the default's time, that counts as faster: a smaller gain is noise. */
const WORTH = 0.95;

const usage =
  "usage: deno run -A bench/tune.ts [--preset NAME,NAME] [--out FILE] [--any]";
const { flags } = readFlags({
  ...{ preset: "original,nano-gpu", out: undefined, any: false as const },
}, usage);
const names = flags.preset.split(",");
const unknown = names.find((name) => !(name in presets));
if (unknown !== undefined) {
  const known = Object.keys(presets).join(", ");
  refuseArguments(`there is no preset ${unknown}, only ${known}`, usage);
}
const path = flags.out ?? productFile();
if (path === undefined) {
  refuseArguments("there is no cache directory; name a file with --out", usage);
}

using device = await BareDevice.open("workgroup");
if (isSoftware(device.adapter) && !flags.any) {
  console.error(
    `Cannot tune: ${device.adapter.info.description} is a software adapter, which has kernels of its own`,
  );
  console.error("hint: --any measures it all the same");
  Deno.exit(1);
}
const name = await nameOfAdapter();
const timing = { longEnough: flags.any ? 2 : 20, rounds: 5 };
const table: Record<string, string> = {};
const products = (names as PresetName[]).flatMap((name) => [
  ...productsOf(name),
  ...decodingProductsOf(name),
]);
for (const { dims } of products) {
  const timed = await timeVariants(dims, device, timing);
  const [usual] = timed as [TimedVariant, ...TimedVariant[]];
  const best = timed.reduce((a, b) => b.ms < a.ms ? b : a);
  const wins = best.ms < WORTH * usual.ms;
  if (wins) table[usual.product] = best.variant;
  console.log(
    `${usual.product}: ${usual.variant} ${usual.ms.toFixed(3)} ms${
      wins ? `, ${best.variant} ${best.ms.toFixed(3)} ms` : ", the fastest"
    }`,
  );
}
const rows = await reductions(names as PresetName[]);
console.log(`reductions of rows: ${rows.line}`);
if (rows.wins) table[ROWS] = SUBGROUPS;
const tables: ProductTables = {
  ...readProductTables(path),
  [name]: { ...readProductTables(path)?.[name], ...table },
};
await writeProductTables(path, tables);
console.log(
  `${
    Object.keys(table).length
  } of ${products.length} products and the reductions have another variant on ${name} now: ${path}`,
);

/** Returns the times of reductions as trees and in subgroups, and whether subgroups are faster. */
async function reductions(
  presets: readonly PresetName[],
): Promise<{ readonly line: string; readonly wins: boolean }> {
  let [tree, subgroups] = [0, 0];
  try {
    for (const preset of presets) {
      const times = await timeRows(preset, { rounds: 3 });
      tree += times.tree;
      subgroups += times.subgroups;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { line: error.message, wins: false };
  }
  return {
    line: `trees ${tree.toFixed(3)} ms, subgroups ${subgroups.toFixed(3)} ms`,
    wins: subgroups < WORTH * tree,
  };
}

/** Returns the name of the adapter as the engine has it. */
async function nameOfAdapter(): Promise<string> {
  await using backend = await openWebGpu({ adapter: "any" });
  return backend.name;
}
