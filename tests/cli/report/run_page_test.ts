import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertLess,
  assertMatch,
} from "@std/assert";
import { join } from "@std/path";
import { pageOf as documentPage } from "../../../lib/cli/report/page.ts";
import { runDocument } from "../../../lib/cli/report/run_document.ts";
import { readRun } from "../../../lib/cli/report/run_record.ts";
import { CounterRandom, Purpose } from "../../../kernels/random.ts";
import { contentsOfPage } from "../page_contents.ts";
import {
  pageOf,
  recordsOf,
  syntheticMeasurement,
  unmeasured,
} from "./pages.ts";
import type { SyntheticRun } from "./synthetic_run.ts";

const random = new CounterRandom(1, Purpose.init);

/** A run's directory with these events. */
async function runWith(events: object[], config = {}): Promise<string> {
  const path = await Deno.makeTempDir({ prefix: "lm-" });
  const lines = events.map((event) => `${JSON.stringify(event)}\n`);
  await Deno.writeTextFile(join(path, "metrics.jsonl"), lines.join(""));
  await Deno.writeTextFile(join(path, "config.json"), JSON.stringify(config));
  return path;
}

Deno.test("A run's time is the sum of its parts, without the pauses between them", async () => {
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

Deno.test("A run's page says what did not go as planned", async () => {
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
    [/Steps skipped because they were not finite: 3\./, start, {
      event: "skip",
      step: 3,
      message: "",
    }],
    // The end of what went before is not that of a run that goes on.
    [/end is not recorded/, start, { ...end, reason: "aborted" }, start],
  ];
  for (const [note, ...events] of cases) {
    const path = await runWith(events);
    const text = await documentPage(
      runDocument(await readRun(path), unmeasured),
    );
    const header = /<header>[^]*<\/header>/.exec(text)![0]
      .replaceAll(/<\/?bdi>/g, "");
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
  const measurement = syntheticMeasurement({ layers: heads, heads, T });
  const run = await readRun(path);
  const text = await documentPage(runDocument(run, measurement));
  assertLess(text.length, 1_000_000);
  assertMatch(text, /12 of 50, evenly spread; all are in samples\.txt/);
  assert(text.includes("uniform 4.17"));
  await Deno.remove(path, { recursive: true });
});

/** What a page's header says. */
function headerOf(html: string): string {
  return /<header>[^]*<\/header>/.exec(html)![0].replace(/<[^>]*>/g, " ")
    .replaceAll("&quot;", '"').replace(/\s+/g, " ");
}

Deno.test("A run's page has its lowest and its last validation loss in the summary and the tiles", async () => {
  const events = [[1, 2.5], [2, 1.25], [3, 1.75]].map(([step, valLoss]) => ({
    ...{ event: "eval", step, valLoss, trainLoss: 1, bitsPerChar: 3 },
  }));
  const path = await runWith(events);
  const text = await documentPage(runDocument(await readRun(path), unmeasured));
  await Deno.remove(path, { recursive: true });
  const header = headerOf(text);
  assertMatch(header, /lowest validation loss 1\.250 at step 2, last 1\.750/);
  assertMatch(header, /Last validation loss 1\.7500/);
  assertMatch(header, /Lowest validation loss 1\.2500 at step 2/);
});

Deno.test("A run's curves leave out values that are not numbers", async () => {
  const step = { event: "step", gradNorm: 1, learningRate: 1 };
  const path = await runWith([
    ...[1, null, 2].map((loss, i) => ({ ...step, step: i + 1, loss })),
    ...[1, null, 2].map((valLoss, i) => ({
      ...{ event: "eval", step: i + 1, valLoss, trainLoss: 1 },
    })),
  ]);
  const { steps, evals } = await readRun(path);
  await Deno.remove(path, { recursive: true });
  assertEquals(steps.map(({ step }) => step), [1, 3]);
  assertEquals(evals.map(({ step }) => step), [1, 3]);
});

Deno.test("A run's tokens are those of all micro-batches of all steps", async () => {
  const train = { batchSize: 8, gradAccumulation: 5 };
  const header = headerOf(await pageOf({ steps: 40, train }));
  assertMatch(header, /Tokens seen 51k /); // 40 · 5 · 8 · 32
});

Deno.test("A run's page says when its model sees the future, and when a part of the split was measured", async () => {
  const cases: [SyntheticRun, RegExp | undefined][] = [
    [{}, undefined],
    [{ model: { mask: "none" } }, /mask is "none", which shows .* no result/],
    [{ model: { mask: "zeroed" } }, /mask is "zeroed", which shows/],
    // It hides the future as long as scores stay far above it.
    [{ model: { mask: "finite" } }, undefined],
    [{ model: { mask: "finite", maskValue: -5 } }, /mask is "finite", which/],
    [{ model: { mask: "none", attention: false } }, undefined],
    [{ measured: [1024, 111_488] }, /of 1,024 of 111,488 tokens .*--eval-tok/],
  ];
  for (const [run, note] of cases) {
    const header = headerOf(await pageOf({ steps: 40, ...run }));
    if (note === undefined) assert(!/mask|tokens of/.test(header), header);
    else assertMatch(header, note);
  }
});

Deno.test("The learning-rate chart draws Muon's own rate beside that of AdamW", async () => {
  const train = {
    ...{ optimizer: "muon", learningRate: 0.01, muonLearningRate: 0.05 },
  };
  const rates = async (run: SyntheticRun) => {
    const { charts } = contentsOfPage(await pageOf({ steps: 40, ...run }));
    const texts = charts.flat().filter((text) => /^step \d+: /.test(text));
    return (name: string, step: number) =>
      texts.find((text) => text.startsWith(`step ${step}: ${name} `))
        ?.split(" ").at(-1);
  };
  // A synthetic run's warm-up takes ten steps.
  const muon = await rates({ train });
  const adamw = await rates({});
  assertEquals(adamw("learning rate", 1), muon("AdamW", 1));
  // Rates are told in three digits.
  for (const step of [10, 20]) {
    const ratio = Number(muon("Muon, for the blocks' matrices", step)) /
      Number(muon("AdamW", step));
    assertAlmostEquals(ratio, 5, 0.05);
  }
  assertEquals(adamw("Muon, for the blocks' matrices", 1), undefined);
});

Deno.test("Matrices outside of the layers have colours of their own", async () => {
  for (const layers of [1, 2, 3, 12]) {
    const html = await pageOf({ steps: 40, layers });
    const section = /<section id="updates"[^]*?<\/section>/.exec(html)![0];
    const keys = Array.from(
      section.matchAll(
        /style="color:([^"]*)"><path[^>]*><\/svg><span>([^<]*)</g,
      ),
      ([, color, name]) => [name!, color!] as const,
    );
    const names = Array.from({ length: layers }, (_, i) => `layer ${i + 1}`);
    assertEquals(keys.map(([name]) => name), [...names, "wte", "lm_head"]);
    assertEquals(new Set(keys.map(([, color]) => color)).size, keys.length);
    for (const [name, color] of keys) {
      assert(section.includes(`stroke="${color}"`), `${name} is not drawn`);
    }
  }
});

Deno.test("A page of 200,000 steps, each with an evaluation, is under 1 MB", async () => {
  const [record] = await recordsOf({ run: { steps: 10, samples: 0 } });
  const [step, event] = [record!.steps[0]!, record!.evals[0]!];
  const many = <Event>(event: Event) =>
    Array.from({ length: 200_000 }, (_, i) => ({ ...event, step: i + 1 }));
  const run = { ...record!, steps: many(step), evals: many(event) };
  const text = await documentPage(runDocument(run, unmeasured));
  assertLess(text.length, 1_000_000);
  assertMatch(text, /500 of 200,000 evaluations, evenly spread; all are in/);
});

Deno.test("Axes of a few steps count whole steps", async () => {
  for (const steps of [1, 2, 3, 5]) {
    const html = await pageOf({ steps, evals: steps, samples: 0 });
    const ticks = Array.from(
      html.matchAll(/aria-label="x-axis tick label"[^]*?<\/g>/g),
      ([axis]) => axis.match(/(?<=>)[^<>]+(?=<\/text>)/g) ?? [],
    );
    assert(ticks.length >= 10, `${ticks.length} axes`);
    for (const tick of ticks.flat()) assertMatch(tick, /^\d+$/, `${steps}`);
  }
});

Deno.test("The loss of a model that sees the future is not compared with n-gram models", async () => {
  const measurement = syntheticMeasurement();
  const honest = await pageOf({ steps: 40 }, measurement);
  assertMatch(honest, /The last validation loss is between/);
  const model = { mask: "none" };
  const sees = await pageOf({ steps: 40, model, floor: 0.1 }, measurement);
  assert(!/The last validation loss is/.test(sees));
});
