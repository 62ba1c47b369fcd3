/**
 * Checks of the speed of training steps on a device, relative to the speed of a bare matrix
 * product. Machines are noisy and run other programs, so a slow result is only a warning.
 */

import { type Backend, executorOf } from "../backends/backend.ts";
import type { PresetName } from "../config/presets.ts";
import { type CheckGroup, type Verdict, verdict } from "./verdict.ts";
import { presetTraining, productPlan, RandomSteps } from "./workloads.ts";

/** Duration of a measurement in milliseconds, unless a single run takes longer. */
const LONG_ENOUGH = 400;

/** Rows, columns and depth of the bare product. */
const SIDE = 512;

/**
 * Smallest acceptable speed of a step of each preset, as a fraction of the speed of the bare
 * product. On the CPU it is half of the speed measured on two idle cores. On a GPU the launch of
 * kernels dominates small models: `tiny` has no limit, and the limit of `original` only detects
 * severe faults.
 */
const leastShares = {
  wasm: { tiny: 0.1, original: 0.25 },
  webgpu: { tiny: 0, original: 0.02 },
  reference: { tiny: 0.2, original: 0 },
} as const;

/** Returns the checks of the speed of presets. */
export function speedChecks(backend: Backend): CheckGroup {
  return {
    name: "speed",
    meaning:
      "training steps compared with a plain matrix product on this device; busy machines are slower, so this never fails.",
    run: () => checkSpeed(backend),
  };
}

async function* checkSpeed(backend: Backend): AsyncGenerator<Verdict> {
  let bare = 0;
  yield await verdict("matmul", async () => {
    bare = await productSpeed(backend);
    return {
      status: "ok",
      found: `${rate(bare)}, ${SIDE}x${SIDE}x${SIDE}`,
      numbers: { flops: bare },
    };
  });
  for (const [name, least] of Object.entries(leastShares[backend.kind])) {
    yield await verdict(`${name} step`, async () => {
      if (backend.kind === "reference" && name !== "tiny") {
        const found = "it would take minutes in float64 on one thread";
        return { status: "skipped", found };
      }
      const { tokens, flops } = await stepSpeed(
        backend,
        name as PresetName,
      );
      const share = flops / bare;
      const found = `${Math.round(tokens).toLocaleString("en")} tokens/s, ${
        rate(flops)
      }, ${percent(share)} of the product`;
      const numbers = { tokensPerSecond: tokens, flops, share };
      return share >= least ? { status: "ok", found, numbers } : {
        status: "warning",
        found,
        hint: `${
          percent(least)
        } was expected: other programs may be running; --threads N leaves some cores to them`,
        numbers,
      };
    });
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

function rate(flops: number): string {
  return `${(flops / 1e9).toPrecision(3)} GFLOP/s`;
}

/** Returns the floating-point operations per second of a bare matrix product. */
async function productSpeed(backend: Backend): Promise<number> {
  const side = backend.kind === "reference" ? SIDE / 8 : SIDE;
  const plan = productPlan({ form: "nn", M: side, N: side, K: side });
  const program = await executorOf(backend).compile(plan, new Map());
  try {
    const ones = new Float32Array(side * side).fill(1);
    program.buffer("a").write(ones);
    program.buffer("b").write(ones);
    return 2 * side ** 3 * await runsPerSecond(backend, () => program.run());
  } finally {
    program.destroy();
  }
}

/** Returns the tokens and floating-point operations per second of a preset's training steps. */
async function stepSpeed(
  backend: Backend,
  name: PresetName,
): Promise<{ readonly tokens: number; readonly flops: number }> {
  await using steps = await RandomSteps.open(backend, presetTraining(name));
  const program = await steps.compile();
  steps.fill(program);
  const tokens = steps.tokens * await runsPerSecond(backend, () => {
    steps.begin(program);
    program.run(["gradient", "update"]);
  });
  return { tokens, flops: tokens * steps.model.flopsPerToken };
}

/** Returns the runs per second, the best of several measurements since other programs can only slow them. */
async function runsPerSecond(
  backend: Backend,
  run: () => void,
): Promise<number> {
  const seconds = async (runs: number) => {
    const begun = performance.now();
    for (let i = 0; i < runs; i++) run();
    await backend.finish();
    return (performance.now() - begun) / 1000;
  };
  await seconds(1); // compiles, warms up
  let runs = 1;
  let took = await seconds(runs);
  while (took < LONG_ENOUGH / 4000) took = await seconds(runs *= 2);
  let best = runs / took;
  const repeats = took > LONG_ENOUGH / 1000 ? 1 : 4;
  for (let i = 0; i < repeats; i++) {
    best = Math.max(best, runs / await seconds(runs));
  }
  return best;
}
