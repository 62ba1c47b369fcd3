/** What the soak makes of a series of measurements, and of a mistaken command line. */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertStringIncludes,
} from "@std/assert";
import { growth, median } from "../../tools/soak/trend.ts";
import {
  judge,
  type Step,
  type Usage,
  type Watched,
} from "../../tools/soak/verdict.ts";

Deno.test("A soak's median is the middle value, or the mean of the two middle values", () => {
  assertEquals(median([7]), 7);
  assertEquals(median([9, 1, 5]), 5);
  assertEquals(median([4, 1, 10, 2]), 3);
});

Deno.test("A soak's growth is the rise from the first value to the last, relative to the median", () => {
  // 2 of 100; binary fractions leave an error near 1e-17.
  assertAlmostEquals(growth([99, 100, 101]), 0.02, 1e-12);
  assertAlmostEquals(growth([101, 100, 99]), -0.02, 1e-12);
  assertEquals(growth([5, 5, 5, 5]), 0);
});

Deno.test("A soak's growth shows a small leak in spite of outliers, and no growth without a leak", () => {
  // Twenty values with a leak of 3 % in all, two of them 10 % too high, as before a collection.
  const leak = Array.from({ length: 20 }, (_, i) => 100 + 3 * i / 19);
  const steady = Array.from({ length: 20 }, () => 100);
  for (const late of [false, true]) {
    const spiked = (values: number[]) =>
      values.map((value, i) => value + ((late ? 19 - i : i) < 2 ? 10 : 0));
    // Where the outliers are shifts which pair is the middle one, but not far.
    assert(growth(spiked(leak)) > 0.02, `late: ${late}`);
    assertEquals(growth(spiked(steady)), 0, `late: ${late}`);
  }
});

/** A run of 8 strides of 10 steps; every number may depend on the share of the run that is over. */
function run(
  { megabytes = () => 100, stepMs = () => 5, cpuMs = () => 8 }: {
    megabytes?: (share: number) => number;
    stepMs?: (share: number) => number;
    cpuMs?: (share: number) => number;
  },
): Watched {
  const [stride, count, tokens] = [10, 80, 256];
  const steps: Step[] = [];
  const usages: Usage[] = [];
  let [time, cpu] = [1e9, 0];
  for (let step = 1; step <= count; step++) {
    const share = step / count;
    time += stepMs(share) / 1000;
    cpu += cpuMs(share);
    steps.push({
      event: "step",
      step,
      time,
      loss: 2,
      gradNorm: 1,
      learningRate: 1e-3,
      tokensPerSecond: 1000 * tokens / stepMs(share),
    });
    const residentBytes = 1e6 * megabytes(share);
    usages.push({ time: time + 1e-4, residentBytes, cpuMs: cpu });
  }
  return { steps, usages, stride, tokens };
}

Deno.test("A soak passes a run whose memory and speed stay the same, and prints its figures", () => {
  const { passed, lines } = judge(run({}));
  assert(passed);
  const text = lines.join("\n");
  assertStringIncludes(text, "10: 100.0, 20: 100.0, 30: 100.0");
  assertStringIncludes(text, "last half: 0.0 %");
  assertStringIncludes(text, "clock: 5.00 ms to 5.00 ms, 0.0 %");
  assertStringIncludes(text, "besides: 8.00 ms to 8.00 ms, 0.0 %");
});

Deno.test("A soak fails if memory grows in the last half of the run, but not if it only grew before", () => {
  const late = (share: number) => 100 + 6 * Math.max(0, share - 0.5);
  const early = (share: number) => 100 * Math.min(1, 2 * share);
  assert(!judge(run({ megabytes: late })).passed);
  assert(judge(run({ megabytes: early })).passed);
  assert(judge(run({ megabytes: (share) => 100 - share })).passed);
});

Deno.test("A soak fails if steps become slower both by the clock and in CPU time", () => {
  const slower = (share: number) => share > 0.75 ? 6 : 5;
  assert(!judge(run({ stepMs: slower, cpuMs: slower })).passed);
  // Somebody else's work, and work that runs beside.
  assert(judge(run({ stepMs: slower })).passed);
  assert(judge(run({ cpuMs: slower })).passed);
  const faster = (share: number) => share > 0.75 ? 4 : 5;
  assert(judge(run({ stepMs: faster, cpuMs: faster })).passed);
});

async function soak(...args: string[]): Promise<[code: number, text: string]> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "tools/soak.ts", ...args],
    cwd: new URL("../../", import.meta.url),
  }).output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return [code, text.join("")];
}

Deno.test("A soak exits with 2 on a mistake in its command line and trains nothing", async () => {
  const mistakes: [string[], string][] = [
    [["--device", "reference"], 'device "reference" is neither'],
    [["--steps", "2001"], "steps (2001) is not a multiple of 2000"],
    [["--steps", "0"], "steps (0) is not a multiple of 2000"],
    [["--step", "2000"], "Unknown option '--step'"],
    [[], "the garbage collector is out of reach"],
  ];
  for (const [args, message] of mistakes) {
    const [code, text] = await soak(...args);
    assertEquals(code, 2, text);
    assertStringIncludes(text, `Cannot read the arguments: ${message}`);
  }
});
