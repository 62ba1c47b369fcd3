import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { join } from "@std/path";
import type { Measurement } from "../../../lib/cli/report/measurement.ts";
import { Plotter } from "../../../lib/cli/report/plotter.ts";
import { runPage } from "../../../lib/cli/report/run_page.ts";
import { readRun } from "../../../lib/cli/report/run_record.ts";
import { CounterRandom, Purpose } from "../../../lib/random.ts";
import { Tokenizer } from "../../../lib/tokenizer.ts";

const random = new CounterRandom(1, Purpose.init);

/** A run's directory with these events. */
async function runWith(events: object[], config = {}): Promise<string> {
  const path = await Deno.makeTempDir({ prefix: "lm-" });
  const lines = events.map((event) => `${JSON.stringify(event)}\n`);
  await Deno.writeTextFile(join(path, "metrics.jsonl"), lines.join(""));
  await Deno.writeTextFile(join(path, "config.json"), JSON.stringify(config));
  return path;
}

Deno.test("A run's time is that of its parts, without what lies between them", async () => {
  const path = await runWith([
    { event: "start", step: 0, time: 100 },
    {
      event: "step",
      step: 1,
      time: 110,
      loss: 1,
      gradNorm: 1,
      learningRate: 1,
    },
    { event: "end", step: 1, time: 115, reason: "aborted", seconds: 12 },
    { event: "start", step: 1, time: 1000 },
    { event: "end", step: 2, time: 1020, reason: "done", seconds: 19 },
  ]);
  assertEquals((await readRun(path)).seconds, 15 + 20);
  await Deno.remove(path, { recursive: true });
  // From before events had a time.
  const older = await runWith([
    { event: "end", step: 1, reason: "aborted", seconds: 12 },
    { event: "end", step: 2, reason: "done", seconds: 19 },
  ]);
  assertEquals((await readRun(older)).seconds, 12 + 19);
  await Deno.remove(older, { recursive: true });
});

Deno.test("A run's page tells what did not go as planned", async () => {
  const start = { event: "start", step: 0 };
  const end = { event: "end", step: 3, seconds: 1 };
  const cases: [note: RegExp | undefined, ...events: object[]][] = [
    [undefined, start, { ...end, reason: "done" }],
    [/failed: Cannot go on\./, start, {
      ...{ ...end, reason: "failed", message: "Cannot go on" },
    }],
    [/stopped after 3 steps, since its time was up\./, start, {
      event: "skip",
      step: 3,
      message: "",
    }, { ...end, reason: "stopped", why: "its time was up" }],
    [/Steps left out, as they were not finite: 3\./, start, {
      event: "skip",
      step: 3,
      message: "",
    }],
    // The end of what went before is not that of a run that goes on.
    [/not told its end/, start, { ...end, reason: "aborted" }, start],
  ];
  const plotter = await Plotter.open();
  for (const [note, ...events] of cases) {
    const path = await runWith(events);
    const nothing = {
      ...{ yardsticks: [], textProblem: undefined },
      ...{ reading: undefined, modelProblem: undefined },
    };
    const text = await runPage(plotter, await readRun(path), nothing);
    const header = /<header>[^]*<\/header>/.exec(text)![0];
    if (note === undefined) assert(!header.includes('class="note"'), header);
    else assertMatch(header, note);
    await Deno.remove(path, { recursive: true });
  }
});

Deno.test("A page of 5000 steps, 36 heads and 900 characters is under 1 MB", async () => {
  const [steps, every, heads, T] = [5000, 100, 6, 24];
  const events: object[] = [{ event: "start", step: 0, time: 0 }];
  const kinds = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"];
  const names = kinds.flatMap((kind) =>
    Array.from({ length: heads }, (_, layer) => `h.${layer}.${kind}.weight`)
  );
  for (let step = 1; step <= steps; step++) {
    const noise = random.normal(step, 0);
    events.push({
      ...{ event: "step", step, loss: 4 / step ** 0.2 + 0.1 * noise },
      ...{ gradNorm: Math.exp(noise), learningRate: 1e-3 / step },
      ...{ tokensPerSecond: 5000 + 300 * noise, time: step },
    });
    if (step % every !== 0) continue;
    const valLoss = 4 / step ** 0.2;
    events.push(
      {
        event: "eval",
        step,
        valLoss,
        trainLoss: valLoss,
        bitsPerChar: valLoss,
      },
      {
        ...{ event: "update", step: step + 1 },
        ratios: Object.fromEntries(names.map((name) => [name, 1 / step])),
      },
      { event: "sample", step, prompt: "\n", text: "word ".repeat(80) },
    );
  }
  const path = await runWith(events, { model: { nLayer: heads } });
  const guess = { id: 65, probability: 1 / 3 };
  const passage = Array.from({ length: 900 }, (_, i) => ({
    ...{ id: 32 + i % 90, loss: 6 * random.uniform(i, 1) },
    guesses: [guess, guess, guess],
  }));
  const map = () =>
    Float64Array.from(
      { length: heads * T * T },
      (_, at) => at % T <= at / T % T ? random.uniform(at, 2) : 0,
    );
  const measurement: Measurement = {
    yardsticks: [{ name: "uniform", loss: 4.17 }],
    textProblem: undefined,
    modelProblem: undefined,
    reading: {
      ...{ passage, prompt: new Int32Array(T).fill(65) },
      maps: Array.from({ length: heads }, map),
      ...{ tokenizer: Tokenizer.ascii(), weights: "best.safetensors" },
      ownText: false,
    },
  };
  const run = await readRun(path);
  const text = await runPage(await Plotter.open(), run, measurement);
  assertLess(text.length, 1_000_000);
  assertMatch(text, /12 of 50, evenly spread; all are in samples\.txt/);
  assert(text.includes("uniform 4.17"));
  await Deno.remove(path, { recursive: true });
});
