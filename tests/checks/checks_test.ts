/** That the checks of a machine notice what is wrong with it: backends with known mistakes. */

import { TooLargeError } from "../../lib/refusal.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { type Backend, DeviceLostError } from "../../lib/backends/backend.ts";
import { openReference } from "../../lib/backends/reference.ts";
import type { F64 } from "../../kernels/reference/kernel.ts";
import { referenceKernels } from "../../kernels/reference/registry.ts";
import { causalityChecks, spread } from "../../lib/checks/causality.ts";
import { gradientChecks } from "../../lib/checks/gradients.ts";
import { kernelChecks } from "../../lib/checks/kernels.ts";
import { pathLosses, teacherForced } from "../../lib/checks/leaks.ts";
import { repeatabilityChecks } from "../../lib/checks/repeatability.ts";
import { makeGeneric, randomIds, variant } from "../../lib/checks/variants.ts";
import {
  type CheckGroup,
  type Verdict,
  verdict,
} from "../../lib/checks/verdict.ts";
import { groupLines, verdictLines } from "../../lib/cli/verbs/check_report.ts";
import type { Dispatch } from "../../lib/graph/plan.ts";
import { Model } from "../../lib/model/model.ts";
import type { Mistake } from "../../lib/checks/mistakes.ts";
import { openFaulty } from "../fixtures/faulty_backend.ts";

/** The checks that do not end well, by their names. */
async function troubles(
  checks: (backend: Backend) => CheckGroup,
  mistake: Mistake,
): Promise<Map<string, Verdict>> {
  await using backend = openFaulty(mistake);
  const verdicts = await Array.fromAsync(checks(backend).run());
  assert(verdicts.length > 1);
  return new Map(
    verdicts.filter(({ status }) => status === "failed")
      .map((verdict) => [verdict.check, verdict]),
  );
}

/** Changes dims of one kernel's dispatches. */
function changing(kernel: string, dims: object): Mistake {
  return {
    dispatch: (dispatch) =>
      dispatch.kernel === kernel
        ? { ...dispatch, dims: { ...dispatch.dims, ...dims } } as Dispatch
        : dispatch,
  };
}

Deno.test("All checks pass on a backend without a mistake", async () => {
  for (
    const checks of [
      kernelChecks,
      gradientChecks,
      causalityChecks,
      repeatabilityChecks,
    ]
  ) assertEquals([...(await troubles(checks, {})).keys()], []);
});

Deno.test("Kernel checks name the kernel that is wrong, and no other", async () => {
  const found = await troubles(kernelChecks, changing("norm", { eps: 1e-2 }));
  assertEquals([...found.keys()], ["norm"]);
  const { found: told, hint } = found.get("norm")!;
  assertMatch(told, /^norm .*: stats\[\d+\] is .*, expected .*: off by/);
  assertStringIncludes(hint!, "computes norm wrong");
});

Deno.test("Gradient checks notice a wrong derivative on the device", async () => {
  const run = referenceKernels.matmul as (...operands: unknown[]) => void;
  const mistake: Mistake = {
    kernels: {
      matmul: (outputs: unknown, inputs: unknown, dims: { slope: unknown }) =>
        run(outputs, inputs, { ...dims, slope: dims.slope && "relu" }),
    },
  };
  const found = await troubles(gradientChecks, mistake);
  // Llama and the last one have SwiGLU instead.
  assertEquals([...found.keys()], ["nanoGPT", "modern"]);
  assertStringIncludes(found.get("nanoGPT")!.found, "on this device: ");
});

Deno.test("Gradient checks notice a gradient that is NaN", async () => {
  const found = await troubles(gradientChecks, {
    kernels: { normBackward: ([dx]: [F64]) => void dx.fill(NaN) },
  });
  assertEquals(found.size, 4);
  for (const { found: told } of found.values()) {
    assertStringIncludes(told, "on this device: ");
    assertStringIncludes(told, "NaN, in float64");
  }
});

Deno.test("Causality checks notice a mask that hides nothing", async () => {
  const full = await troubles(
    causalityChecks,
    changing("attention", { mask: "none" }),
  );
  assertEquals([...full.keys()], ["full pass"]);
  const cached = await troubles(
    causalityChecks,
    changing("attentionCached", { mask: "none" }),
  );
  assertEquals([...cached.keys()], ["prefill"]);
});

Deno.test("Repeatability checks notice a number that changes each time", async () => {
  let times = 0;
  const found = await troubles(repeatabilityChecks, {
    write: (name, data) =>
      name === "schedule"
        ? Float64Array.from(data, (x) => x * (1 + 1e-12 * times++))
        : data,
  });
  assertEquals([...found.keys()], ["twice"]);
  assertMatch(found.get("twice")!.found, /^loss \d is/);
});

Deno.test("A check that throws has the status failed, with the error's message and hint", async () => {
  const error = Object.assign(new Error("Cannot compile"), { hint: "try it" });
  assertEquals(await verdict("x", () => Promise.reject(error)), {
    check: "x",
    status: "failed",
    found: "Cannot compile",
    hint: "try it",
  });
});

Deno.test("A check that is too large is skipped, and one that the JavaScript engine stops is broken, not failed", async () => {
  const engine = [
    () => new Map<number, number>().get(0)!.toFixed(),
    () => "a".repeat(2 ** 30),
    () => new Array(-1),
  ];
  for (const action of engine) {
    const { status, found } = await verdict("x", () => {
      action();
      return { status: "ok", found: "" };
    });
    assertEquals(status, "broken");
    assertMatch(found, /^the check itself broke down: (Type|Range)Error: /);
  }
  assertEquals(
    await verdict("x", () => {
      throw new TooLargeError("2 tokens, at most 1");
    }),
    { check: "x", status: "skipped", found: "2 tokens, at most 1" },
  );
});

Deno.test("A check on a device that is lost throws an error instead of giving a verdict", async () => {
  const lost = new DeviceLostError("Cannot read z: the WebGPU device was lost");
  await assertRejects(
    () => verdict("x", () => Promise.reject(lost)),
    DeviceLostError,
    "was lost",
  );
});

Deno.test("Both paths have the same loss, which is the loss of Model.evaluate", async () => {
  await using backend = openReference();
  await using model = await Model.create(variant("modern").config, { backend });
  await makeGeneric(model);
  const { blockSize: T, vocabSize } = model.config;
  const windows = Array.from(
    { length: 20 }, // more than run side by side
    (_, seed) => randomIds(T, { vocabSize, seed }),
  );
  const { full, stepwise } = await pathLosses(model, windows);
  assert(Math.abs(full - stepwise) < 1e-12);
  const forced = await teacherForced(model, windows, { seed: 1 });
  assert(Math.abs(forced.loss - full) < 1e-12);
  const targets = windows.map((window) =>
    Int32Array.of(...window.subarray(1), -1)
  );
  const flat = (rows: Int32Array[]) =>
    Int32Array.from(rows.flatMap((row) => [...row]));
  const batch = {
    B: 20,
    T,
    tokens: flat(windows),
    targets: flat(targets),
    count: 20 * (T - 1),
  };
  assert(Math.abs(await model.evaluate([batch]) - full) < 1e-12);
});

Deno.test("Tokens are drawn with the model's probabilities, without label smoothing", async () => {
  await using backend = openReference();
  const config = { ...variant("the defaults").config, labelSmoothing: 0.3 };
  await using model = await Model.create(config, { backend });
  await makeGeneric(model);
  const { vocabSize: V } = config;
  const logits = await model.forward(Int32Array.of(2, 3), { B: 1, T: 2 });
  const weights = Array.from(logits.subarray(0, V), Math.exp);
  const total = weights.reduce((sum, x) => sum + x, 0);
  const plain = Array.from(
    weights,
    (x) => Math.max(0, x / total - 0.3 / V),
  );
  const rest = plain.reduce((sum, p) => sum + p, 0);
  const count = 4000;
  const windows = new Array(count).fill(Int32Array.of(2, 3));
  const { drawn } = await teacherForced(model, windows, { seed: 1 });
  plain.forEach((p, token) => {
    const times = drawn.filter(([id]) => id === token).length;
    // Four standard deviations of a binomial distribution.
    const margin = 4 * Math.sqrt(count * p / rest) + 1e-9;
    assert(Math.abs(times - count * p / rest) <= margin, `token ${token}`);
  });
});

Deno.test("Places are spread from the second token to the last", () => {
  assertEquals(spread(3, 11), [1, 6, 10]);
  assertEquals(spread(8, 4), [1, 2, 3]);
  assertEquals(spread(8, 2), [1]);
});

Deno.test("Verdicts fit 80 and 40 columns, aligned, and say FAIL without color too", () => {
  const failed: Verdict = {
    check: "free running",
    status: "failed",
    found: "LEAK: 2,048 tokens at 8.79 nats, predictions at 2.59",
    hint: "it writes far worse than it predicts: look at its mask",
  };
  assertEquals(verdictLines(failed, { width: 80, color: false }), [
    "  FAIL    free running          LEAK: 2,048 tokens at 8.79 nats, predictions at",
    "                                2.59",
    "                                hint: it writes far worse than it predicts: look",
    "                                at its mask",
  ]);
  assertEquals(verdictLines(failed, { width: 40, color: false }), [
    "  FAIL    free running: LEAK: 2,048",
    "          tokens at 8.79 nats,",
    "          predictions at 2.59",
    "          hint: it writes far worse than",
    "          it predicts: look at its mask",
  ]);
  const [colored] = verdictLines(failed, { width: 80, color: true });
  assert(colored!.startsWith("\x1b[31m  FAIL    \x1b[39mfree running"));
  const long = { name: "files", meaning: "a".repeat(100) + " is whole" };
  for (const line of groupLines(long, { width: 40, color: false })) {
    assert(line.length <= 40, line);
  }
});
