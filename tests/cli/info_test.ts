import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { modelFacts } from "../../lib/cli/verbs/model_card.ts";
import { modelConfig } from "../../lib/config/model.ts";
import { trainConfig } from "../../lib/config/train.ts";
import { trainPlan } from "../../lib/train/plan.ts";
import { parameterLayout } from "../../lib/model/plans.ts";
import { SMALL, Workplace } from "./process.ts";

Deno.test("info works without any adapter", async () => {
  await using here = await Workplace.create();
  // A backend that this system does not have: no driver is ever looked for.
  const backend = Deno.build.os === "windows" ? "metal" : "dx12";
  const { code, stdout, stderr } = await here.run(["info"], {
    env: { DENO_WEBGPU_BACKEND: backend },
  });
  assertEquals(code, 0, stderr);
  assertMatch(
    stdout,
    /^webgpu +none: Cannot open WebGPU: there is no adapter$/m,
  );
  assertMatch(
    stdout,
    /^wasm +CPU, \d+ threads?, ((relaxed )?SIMD|\w+ [^,]+)$/m,
  );
  assertMatch(stdout, /^reference +float64/m);
  assertMatch(stdout, /^--device auto takes wasm$/m);
});

Deno.test("info describes a model that is not trained yet", async () => {
  await using here = await Workplace.create();
  const { code, stdout } = await here.run(["info", "--preset", "original"]);
  assertEquals(code, 0);
  assertMatch(stdout, /^826,240 parameters$/m);
  assertMatch(stdout, /^wte\.weight +\[128, 128\] +16,384$/m);
  assertMatch(stdout, /^h\.\*\.mlp\.c_fc\.weight +4 x \[512, 128\] +262,144$/m);
  const counts = stdout.matchAll(/\] +([\d,]+)$/gm);
  const total = counts.reduce(
    (sum, [, count]) => sum + Number(count!.replaceAll(",", "")),
    0,
  );
  assertEquals(total, 826_240);
  assertMatch(stdout, /^training +[\d.]+MFLOP a token/m);

  const other = await here.run(
    "info --preset nano-gpu --n-layer 12 --tied-head".split(" "),
  );
  assertMatch(other.stdout, /12 x \[1536, 384\]/);
});

Deno.test("info's memory is that of all buffers of a step, and of the cache without the weights", () => {
  const config = modelConfig({
    ...{ vocabSize: 7, blockSize: 6, nLayer: 3, nHead: 2, nEmbd: 8 },
    position: "learned",
  });
  const [B, T] = [5, 6];
  const plan = trainPlan(config, trainConfig(), { B, T });
  const { memory: { training, generating } } = modelFacts(config, plan);
  const { length } = parameterLayout(config);
  // Parameters, gradients and two moments; the metrics of 64 steps; the loss.
  assertEquals(training.stores, 4 * (4 * length + 4 * 64 + 1));
  const slots = plan.buffers.filter(({ kind }) => kind === "slot")
    .reduce((sum, { length }) => sum + 4 * length, 0);
  // Tokens and targets, the key and the schedule.
  assertEquals(training.activations, slots + 4 * (2 * B * T + 4 + 3));
  assertEquals(generating.weights, 4 * length);
  assertEquals(generating.cache, 4 * 3 * T * 2 * 8);
});

Deno.test("info describes a trained model", async () => {
  await using here = await Workplace.create();
  await here.run(["train", ...SMALL, "--out", "run"]);
  const { code, stdout } = await here.run(["info", "run"]);
  assertEquals(code, 0);
  assertMatch(stdout, /checkpoint\.safetensors, 12 steps, on .*text\.txt/);
  assertMatch(stdout, /^position +rope$/m);
  const refused = await here.run("info run --n-layer 2".split(" "));
  assertEquals(refused.code, 2);
  assertStringIncludes(
    refused.stderr,
    "the architecture of a trained model cannot change",
  );
});

Deno.test("info --plan prints the kernels of each plan", async () => {
  await using here = await Workplace.create();
  const plan = async (...flags: string[]) => {
    const args = ["info", "--preset", "tiny", "--plan", ...flags];
    return (await here.run(args)).stdout;
  };
  assertMatch(await plan(), /^train\.update: \d+ dispatches$/m);
  assertMatch(await plan("eval"), /^eval\.eval: \d+ dispatches$/m);
  assertMatch(await plan("prefill"), /^prefill\.prefill: \d+ dispatches$/m);
  const decode = await plan("decode");
  assertMatch(decode, /^decode\.decode: \d+ dispatches$/m);
  assert(decode.includes("attentionCached"));
});

Deno.test("The program answers --help and --version, and refuses other commands", async () => {
  await using here = await Workplace.create();
  const cases: [
    args: string[],
    code: number,
    stdout: RegExp,
    stderr: RegExp,
  ][] = [
    [["--version"], 0, /^lm \d+\.\d+\.\d+\n$/, /^$/],
    [["--help"], 0, /^lm [^]*train/, /^$/],
    [["sample", "--help"], 0, /--top-k N/, /^$/],
    [["train", "-h"], 0, /--n-layer N/, /^$/],
    [[], 2, /^$/, /^lm [^]*train/],
    [
      ["trian"],
      2,
      /^$/,
      /^error: Cannot run trian: [^]*did you mean train\?$/m,
    ],
    [["--train"], 2, /^$/, /did you mean train\?/],
  ];
  for (const [args, code, stdout, stderr] of cases) {
    const outcome = await here.run(args);
    assertEquals(outcome.code, code, args.join(" "));
    assertMatch(outcome.stdout, stdout);
    assertMatch(outcome.stderr, stderr);
  }
});
