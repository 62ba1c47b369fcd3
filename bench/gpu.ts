/**
 * Measures a GPU in one call of less than eight minutes: the adapter, whether it computes
 * right, what it reaches without a model, products, reductions, training steps, text, a longer training, and
 * PyTorch on the same GPU.
 *
 *     deno run -A bench/gpu.ts [--out DIR] [--python PYTHON] [--only PART,PART]
 *     deno run -A bench/gpu.ts --quick
 *
 * Each part is a process of its own with a deadline, and writes DIR/PART.json and DIR/PART.log when it ends. A part
 * that fails or is late is named, and the others run all the same. On a software adapter only `--quick` goes on
 * after the first part: a rehearsal of every part in a minute. Exits 1 if a part failed or was late.
 */

import { fromFileUrl } from "@std/path";
import { readFlags, refuseArguments } from "../tools/flags.ts";
import { type PartCommand, type PartResult, runParts } from "./gpu/driver.ts";
import { parts } from "./gpu/parts.ts";

/** Seconds of all parts together. */
const SECONDS = 460;

/** Seconds of each part. */
const seconds: Readonly<Record<string, number>> = {
  adapter: 20,
  "conformance-workgroup": 70,
  "conformance-register": 50,
  against: 70,
  overheads: 15,
  roofline: 20,
  products: 60,
  rows: 20,
  steps: 60,
  text: 30,
  "nano-gpu": 60,
  torch: 60,
};

/** Part of its deadline in which a part ends by itself. */
const OWN_END = 0.8;

const usage =
  "usage: deno run -A bench/gpu.ts [--quick] [--out DIR] [--python PYTHON] [--only PART,PART]";
const { flags } = readFlags({
  ...{ quick: false as const, out: "gpu-results", python: "python3" },
  only: undefined,
}, usage);
const names = Object.keys(seconds);
const only = flags.only?.split(",");
const unknown = only?.find((name) => !names.includes(name));
if (unknown !== undefined) {
  refuseArguments(`there is no part ${unknown}; the parts are ${names}`, usage);
}

const pathOf = (name: string) => fromFileUrl(new URL(name, import.meta.url));

function commandOf(name: string): PartCommand["command"] {
  const deno = [Deno.execPath(), "run", "-A"] as const;
  const { quick } = flags;
  if (name in parts) {
    const own = String(OWN_END * seconds[name]!);
    const extent = quick ? "quick" : "whole";
    return [...deno, pathOf("gpu/parts.ts"), name, extent, own];
  }
  if (name === "nano-gpu") {
    return [...deno, pathOf("gpu/train.ts"), ...quick ? ["--quick"] : []];
  }
  const script = pathOf("peers/torch_gpu.py");
  return [flags.python, "-B", script, ...quick ? ["--quick"] : []];
}

/** Returns false, and says why, if the adapter is software. */
function isHardware({ data }: PartResult): boolean {
  if (flags.quick || (data as { software: boolean }).software === false) {
    return true;
  }
  console.log(
    "This adapter is software: nothing to measure (--quick rehearses)",
  );
  return false;
}

const begun = performance.now();
const chosen = names.filter((name) => only?.includes(name) ?? true)
  .map((name): PartCommand => ({
    ...{ name, seconds: seconds[name]!, command: commandOf(name) },
    essential: name === "adapter",
  }));
const results: PartResult[] = [];
for await (
  const result of runParts(chosen, {
    ...{ out: flags.out, seconds: SECONDS, goesOn: isHardware },
  })
) {
  results.push(result);
  const { name, outcome, seconds, lines } = result;
  if (outcome === "left out") continue;
  console.log(`\n== ${name}: ${outcome}, ${seconds.toFixed(1)} s`);
  for (const line of lines) console.log(line);
}
const bad = results.filter(({ outcome }) => outcome !== "ok");
const took = (performance.now() - begun) / 1000;
console.log(
  `\n${results.length - bad.length} of ${results.length} parts in ${
    took.toFixed(0)
  } s, in ${flags.out}${
    bad.length === 0
      ? ""
      : `; not ok: ${
        bad.map(({ name, outcome }) => `${name} (${outcome})`).join(", ")
      }`
  }`,
);
Deno.exit(bad.length === 0 ? 0 : 1);
