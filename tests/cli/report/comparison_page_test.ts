import { assert, assertEquals, assertMatch } from "@std/assert";
import { contentsOfPage } from "../page_contents.ts";
import { comparisonOf } from "./pages.ts";
import type { SyntheticRun } from "./synthetic_run.ts";

/** The page that compares runs of a few steps, by their names. */
function pageOf(
  runs: Readonly<Record<string, SyntheticRun>>,
): Promise<string> {
  return comparisonOf(Object.fromEntries(
    Object.entries(runs).map(([name, run]) => [name, { steps: 40, ...run }]),
  ));
}

/** Summaries of a page's head. */
function summaries(html: string): string[] {
  return Array.from(
    html.matchAll(/<p class="summary">(.*?)<\/p>/gs),
    ([, text]) => text!.replace(/<[^>]*>/g, ""),
  );
}

Deno.test("No two keys of 40 runs are alike", async () => {
  const html = await pageOf(Object.fromEntries(
    Array.from({ length: 40 }, (_, i) => [`run-${i}`, { seed: i + 1 }]),
  ));
  const legend = /<div class="legend">.*?<\/div>/s.exec(html)![0];
  const keys = legend.match(/<svg class="pen".*?<\/svg>/gs)!;
  assertEquals([keys.length, new Set(keys).size], [40, 40]);
});

Deno.test("A comparison's head names the run whose loss is bold in the table", async () => {
  const html = await pageOf({ high: { floor: 1.9 }, low: { floor: 1.2 } });
  const [summary] = summaries(html);
  const bold = /<b>([\d.]+)<\/b>/.exec(html)![1];
  assertMatch(
    summary!,
    RegExp(`lowest validation loss is ${bold} nats per token, of low at step`),
  );
});

Deno.test("Runs are compared only with runs of the same text", async () => {
  const data = { name: "moby-dick", sha256: "aa" };
  const html = await pageOf({
    a: { floor: 1.9 },
    b: { floor: 1.5 },
    c: { data, floor: 1.1 },
    d: { data, floor: 1.3 },
  });
  const [first, second, ...more] = summaries(html);
  assertMatch(first!, /2 runs on tinyshakespeare.* of b at step/);
  assertMatch(second!, /2 runs on moby-dick.* of c at step/);
  assertEquals(more, []);
  const names = contentsOfPage(html).tables.map((rows) =>
    rows.slice(1).map(([name]) => name!.trim().split(" ").at(-1))
  );
  assertEquals(names, [["a", "b"], ["c", "d"]]);
  // Two charts of each text, in two shapes.
  assertEquals(html.match(/<svg [^>]*class="plot"/g)!.length, 8);
});

Deno.test("A text is known by its checksum, whatever its name, and a run of an unknown text is compared with no other", async () => {
  const html = await pageOf({
    one: {},
    renamed: { data: { name: "moby-dick" } },
    edited: { data: { sha256: "bb" } },
    lost: { data: { sha256: null } },
    gone: { data: { sha256: null } },
  });
  const names = contentsOfPage(html).tables.map((rows) =>
    rows.slice(1).map(([name]) => name!.trim().split(" ").at(-1))
  );
  assertEquals(names, [["one", "renamed"], ["edited"], ["lost"], ["gone"]]);
});

Deno.test("Runs whose tokens differ are compared in bits per character", async () => {
  // Fewer nats a token, but a character takes two tokens: more bits a character.
  const bytes = { kind: "bytes", vocabSize: 256 };
  const html = await pageOf({
    chars: { floor: 1.5 },
    bytes: { floor: 1.2, charsPerToken: 0.5, tokenizer: bytes },
  });
  assertMatch(summaries(html)[0]!, /[\d.]+ bits per character, of chars/);
  const [[head]] = contentsOfPage(html).tables as [[string[]]];
  assert(head.includes("lowest loss, bits per character"), String(head));
});

Deno.test("Runs are compared only with runs that measured the same part of the validation split", async () => {
  const html = await pageOf({
    ...{ a: { floor: 1.7 }, b: { floor: 1.8 } },
    ...{ c: { floor: 1.1, measured: [1024, 111_488] } },
    ...{ d: { floor: 1.2, measured: [1024, 111_488] } },
    ...{ e: { floor: 1.3, measured: [2048, 111_488] } },
  });
  const [whole, part, ...more] = summaries(html);
  assertMatch(whole!, /2 runs on tinyshakespeare: .* of a at step/);
  assertMatch(part!, /2 runs on .*, 1,024 validation tokens: .* of c at step/);
  assertMatch(more.join(), /One run on tinyshakespeare, 2,048 validation tok/);
});

Deno.test("Models whose mask shows the future are named so, drawn hollow, and never the lowest", async () => {
  for (
    const model of [
      { mask: "none" },
      { mask: "zeroed" },
      { mask: "finite", maskValue: -4 },
    ]
  ) {
    const html = await pageOf({
      a: { floor: 1.5 },
      b: { floor: 1.6 },
      seeing: { floor: 0.1, model },
      // Without attention there is nothing to mask.
      blind: { floor: 1.7, model: { ...model, attention: false } },
      hidden: { floor: 1.8, model: { mask: "finite", maskValue: -1e4 } },
    });
    assertMatch(
      summaries(html)[0]!,
      /of a at step .*one model sees the future/,
    );
    assertEquals(
      html.match(/class="hollow".*?<bdi>(.*?)<\/bdi>(.*?)<\/span>/s)!.slice(1),
      ["seeing", " (sees the future)"],
    );
    assertEquals(html.match(/(blind|hidden)<\/bdi> \(sees/), null);
  }
});

Deno.test("A comparison's time axis is in seconds, minutes or hours, whichever is near", async () => {
  // 0.4 s a step.
  for (
    const [steps, unit] of [[40, "seconds"], [600, "minutes"], [
      20_000,
      "hours",
    ]] as const
  ) {
    const html = await pageOf({ a: { steps }, b: { steps, seed: 2 } });
    assert(html.includes(`>${unit} →<`), unit);
  }
});

Deno.test("Long names of runs stay different in tables and charts", async () => {
  const start = "optimizer=adamw+learningRate=0.0";
  const names = ["1", "2", "3"].map((digit) =>
    `${start}${digit}+batchSize=32+weightDecay=0.1+dropout=0.1`
  );
  const html = await pageOf(
    Object.fromEntries(names.map((name) => [name, {}])),
  );
  const { tables: [table], charts } = contentsOfPage(html);
  const inTable = table!.slice(1).map(([name]) => name!.replace(/^\d /, ""));
  assertEquals(new Set(inTable).size, 3);
  const drawn = charts.flat().map((text) => text.replace(/^\d /, ""));
  for (const name of inTable) {
    assert([...name].length <= 32, name);
    assert(drawn.includes(name), name);
  }
  // The legend has them in full.
  const legend = /<div class="legend">.*?<\/div>/s.exec(html)![0];
  for (const name of names) {
    assert(legend.replace(/<[^>]*>/g, "").includes(name), name);
  }
});
